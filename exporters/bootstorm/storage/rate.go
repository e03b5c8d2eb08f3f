package storage

import (
	"math"
	"time"
)

// Reading is what a host's disks did between two readings of their counters. A figure that is not known is NaN: show nothing then.
type Reading struct {
	// Disks is how many disks the figures are of: those with counters in both readings that had not begun anew between them.
	Disks int

	// Latency is the mean time that a request took, in seconds: over all disks' reads and writes, over their reads, over their
	// writes. NaN where none was completed, or the times are not known.
	Latency, ReadLatency, WriteLatency float64

	// Utilisation is the part of the time in which the busiest disk had a request in flight, 0 to 1. A disk at 1 takes no more
	// if it does one request at a time; an SSD or an array may. NaN but for the host's own disks: QEMU counts no such time, and
	// Queue tells no more than that it was at most min(1, Queue).
	Utilisation float64

	// Queue is how many requests were in flight on average, in all disks together, flushes and discards too: by Little's law the
	// sum of the completed requests' times over the time between the readings. A request counts with its whole time when it
	// completes, so after a standstill Queue can exceed what was ever in flight.
	Queue float64

	// InFlight is how many requests were in flight at the second reading; NaN but for the host's own disks. High while nothing
	// completes, it shows a disk that stands still.
	InFlight float64

	ReadsPerSecond, WritesPerSecond float64
	BytesPerSecond                  float64 // read and written
}

// Rate compares two readings of the same host's counters, with the time between them.
//
// Disks are compared one by one, and only those in both readings: a guest that came, left or began anew between them
// brings neither a peak nor a negative number, and counts from its second reading on. Where no disk can be compared nothing is
// known; where there is no disk at all (no guest runs), nothing is asked of the storage: rates and queue are 0.
func Rate(before, after Counters, elapsed time.Duration) Reading {
	unknown := math.NaN()
	if elapsed <= 0 {
		return Reading{Latency: unknown, ReadLatency: unknown, WriteLatency: unknown, Utilisation: unknown,
			Queue: unknown, InFlight: unknown, ReadsPerSecond: unknown, WritesPerSecond: unknown, BytesPerSecond: unknown}
	}
	var all, timed Disk // sums of differences
	var disks, timedDisks, hostDisks int
	var busiest time.Duration
	for name, a := range after {
		b, ok := before[name]
		if !ok {
			continue
		}
		d, ok := a.since(b)
		if !ok {
			continue
		}
		disks++
		all.add(d)
		if d.Timed {
			timedDisks++
			timed.add(d)
		}
		if d.Host {
			hostDisks++
			busiest = max(busiest, d.BusyTime)
		}
	}
	seconds := elapsed.Seconds()
	empty := len(after) == 0
	known := func(ok bool, value float64) float64 {
		if ok {
			return value
		}
		return unknown
	}
	return Reading{
		Disks:           disks,
		Latency:         perRequest(timed.ReadTime+timed.WriteTime, timed.Reads+timed.Writes),
		ReadLatency:     perRequest(timed.ReadTime, timed.Reads),
		WriteLatency:    perRequest(timed.WriteTime, timed.Writes),
		Utilisation:     known(hostDisks > 0, min(1, busiest.Seconds()/seconds)),
		Queue:           known(timedDisks > 0 || empty, timed.QueueTime.Seconds()/seconds),
		InFlight:        known(hostDisks > 0, float64(all.InFlight)),
		ReadsPerSecond:  known(disks > 0 || empty, float64(all.Reads)/seconds),
		WritesPerSecond: known(disks > 0 || empty, float64(all.Writes)/seconds),
		BytesPerSecond:  known(disks > 0 || empty, float64(all.ReadBytes+all.WrittenBytes)/seconds),
	}
}

// since returns what a disk has done since an earlier reading; false if its counters have begun anew.
func (d Disk) since(before Disk) (Disk, bool) {
	if d.Reads < before.Reads || d.Writes < before.Writes ||
		d.ReadBytes < before.ReadBytes || d.WrittenBytes < before.WrittenBytes {
		return Disk{}, false
	}
	d.Reads -= before.Reads
	d.Writes -= before.Writes
	d.ReadBytes -= before.ReadBytes
	d.WrittenBytes -= before.WrittenBytes
	d.Timed = d.Timed && before.Timed
	d.Host = d.Host && before.Host
	for _, t := range []struct {
		time *time.Duration
		then time.Duration
	}{
		{&d.ReadTime, before.ReadTime},
		{&d.WriteTime, before.WriteTime},
		{&d.QueueTime, before.QueueTime},
		{&d.BusyTime, before.BusyTime},
	} {
		*t.time -= t.then
		if *t.time < 0 {
			*t.time += d.wrap
		}
		// A time that seems to have run half its way round in one interval has gone back instead.
		if *t.time < 0 || d.wrap > 0 && *t.time > d.wrap/2 {
			return Disk{}, false
		}
	}
	return d, true
}

// add adds the counters of another disk.
func (d *Disk) add(o Disk) {
	d.Reads += o.Reads
	d.Writes += o.Writes
	d.ReadBytes += o.ReadBytes
	d.WrittenBytes += o.WrittenBytes
	d.ReadTime += o.ReadTime
	d.WriteTime += o.WriteTime
	d.QueueTime += o.QueueTime
	d.InFlight += o.InFlight
}

func perRequest(total time.Duration, requests uint64) float64 {
	if requests == 0 {
		return math.NaN()
	}
	return total.Seconds() / float64(requests)
}
