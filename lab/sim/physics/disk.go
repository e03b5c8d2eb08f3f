package physics

// Disk is what a host's desktops are stored on.
type Disk struct {
	IOPS float64 // reads a second that it can serve
	// Disks is how many requests it serves at a time: a request takes Disks / IOPS seconds when nobody else has one.
	Disks float64
	// WriteCost is how many reads a write takes: 1 on a single disk, 2 on RAID 1 and 10, 4 on RAID 5.
	WriteCost float64
}

// stream is somebody who keeps a number of requests at the disk, and sends the next a pause after an answer.
type stream struct {
	depth float64
	pause float64 // s
	cost  float64 // of a request, in reads
}

func (s stream) rate(latency float64) float64 { return s.depth / (latency + s.pause) }

// latency is how long a request takes, s, when streams share the disk: that of an idle disk as long as it can serve what they ask for,
// else the one at which they ask for no more than that. All requests wait in one queue.
func (d Disk) latency(streams []stream) float64 {
	r := d.Disks / d.IOPS
	// Newton's method from the left of the root of a convex falling function stays on the left.
	for range 50 {
		demand, slope := -d.IOPS, 0.0
		for _, s := range streams {
			rate := s.cost * s.rate(r)
			demand += rate
			slope += rate / (r + s.pause)
		}
		if demand <= 1e-9*d.IOPS {
			break
		}
		r += demand / slope
	}
	return r
}

// cost is that of a request of which a share reads, in reads.
func (d Disk) cost(reads float64) float64 { return reads + (1-reads)*d.WriteCost }
