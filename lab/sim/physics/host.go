package physics

import (
	"errors"
	"math"
	"slices"
	"time"
)

// Host is a kind of host.
type Host struct {
	Memory float64 // MiB
	Swap   float64 // MiB
	Own    float64 // what the host itself needs of its memory, MiB
	CPUs   float64
	Disk   Disk // of the desktops and of swap
	// KSM: ksmd scans, ScanRate MiB a second (pages_to_scan pages each sleep_millisecs).
	KSM      bool
	ScanRate float64
	// FatalKills is how many times its OOM killer may act within FatalWindow before the host itself dies; 0: it never does, as where
	// the memory limit is a cgroup's.
	FatalKills  int
	FatalWindow time.Duration
}

func (s Host) check() error {
	switch {
	case !positive(s.Memory) || !positive(s.CPUs):
		return errors.New("it has no memory or no CPU")
	case !positive(s.Disk.IOPS) || !positive(s.Disk.Disks) || !positive(s.Disk.WriteCost):
		return errors.New("its disk serves nothing")
	case !between(s.Swap, 0, math.MaxFloat64) || !between(s.Own, 0, s.Memory) || !between(s.ScanRate, 0, math.MaxFloat64):
		return errors.New("its swap, its own memory or its scan rate is out of range")
	case s.FatalKills < 0 || s.FatalWindow < 0:
		return errors.New("what kills it is negative")
	}
	return nil
}

type host struct {
	name  string
	spec  Host
	alive bool
	index int // in the queue

	at   float64 // until when all below is known, s
	next float64 // when something happens by itself, s

	desktops []*desktop // in the order of being placed
	kills    []float64  // when the OOM killer acted, s, as far as FatalWindow needs
	oomKills int

	ksm         bool
	merged      float64 // what the scan gave back, MiB
	merging     float64 // MiB/s
	mergedUntil float64 // s

	processors processors
	stretch    float64 // of CPU work
	reply      float64 // how much longer a reply's CPU work takes; 0: not known yet
	streams    []stream
	latency    float64 // of a request, s
	iops       float64 // served
	busy       float64 // the disk, 0 to 1

	requests, busySeconds float64 // so far
}

// elapse lets time pass in which nothing happens.
func (h *host) elapse(now float64) {
	dt := now - h.at
	h.at = now
	if dt <= 0 {
		return
	}
	h.requests += h.iops * dt
	h.busySeconds += h.busy * dt
	h.merged = max(0, h.merged+h.merging*dt)
	for _, d := range h.desktops {
		d.touched = max(0, d.touched+d.growth*dt)
		switch {
		case d.computing():
			d.cpu -= d.cpuRate * dt
		case d.reading():
			d.requests -= d.ioRate * dt
			d.waited += d.ioRate * dt * h.latency
		}
	}
}

// due does what is due now, and tells whether there was something.
func (h *host) due(m *Model) (something bool) {
	for _, d := range h.desktops {
		if d.state == Booting && !d.prepared && d.begins <= h.at {
			d.prepared, something = true, true
		}
		if d.state == Booting && d.prepared && !d.computing() && !d.reading() {
			d.finish(m)
			something = true
		}
		if d.work(h.at) {
			something = true
		}
	}
	if h.alive && h.need() > h.limit()+memoryRest {
		h.killLargest(m)
		something = true
	}
	return something
}

// finish ends a boot.
func (d *desktop) finish(m *Model) {
	d.state, d.booted, d.touched = Running, m.now, d.limit(d.spec.Boot.Memory)
	if n := d.spec.Boot.Requests; n > 0 {
		d.latency = d.waited / n
	}
	id, took := d.id, duration(d.booted-d.started)
	m.report(func(o Observer) { o.Booted(id, took) })
}

// end stops a desktop.
func (h *host) end(d *desktop, state State) {
	h.without(func() {
		d.logout()
		d.state, d.touched, d.growth, d.cpu, d.requests = state, 0, 0, 0, 0
	})
}

// without takes a desktop's memory away, and what of it was merged.
func (h *host) without(take func()) {
	before, _, _ := h.mergeable()
	take()
	if after, _, _ := h.mergeable(); before > 0 {
		h.merged *= after / before
	}
}

func (h *host) forget(d *desktop) {
	h.desktops = slices.DeleteFunc(h.desktops, func(o *desktop) bool { return o == d })
}

func (h *host) die(m *Model) {
	if !h.alive {
		return
	}
	var ended []string
	for _, d := range h.desktops {
		if d.on() {
			h.end(d, Killed)
			ended = append(ended, d.id)
		}
	}
	h.alive, h.merged = false, 0
	m.report(func(o Observer) { o.HostDown(h.name, ended) })
}

// settle computes how fast everything goes from now on.
func (h *host) settle() {
	h.reply = 0
	h.settleSharing()
	for _, d := range h.desktops {
		d.grow(h.at)
	}
	h.settleMerging()
}

// settleSharing shares CPUs and disk. Boots that wait for the disk leave the CPUs alone and the other way round, so each is computed
// with what the other gave, until that changes no more.
func (h *host) settleSharing() {
	h.latency = h.spec.Disk.Disks / h.spec.Disk.IOPS
	people := h.people()
	for range 4 {
		h.processors = people
		h.processors.cpus = h.spec.CPUs
		for _, d := range h.desktops {
			h.processors.boots += d.cpuDemand(h.latency)
		}
		before := h.latency
		h.stretch = h.processors.stretch()
		h.settleDisk()
		if h.stretch == 1 || h.latency == before {
			break // CPU work takes no longer for what the disk does
		}
	}
	for _, d := range h.desktops {
		b := d.spec.Boot
		switch {
		case d.computing():
			d.cpuRate = b.Share / h.stretch
		case d.reading():
			d.ioRate = d.stream(h).rate(h.latency)
		}
	}
}

// replyStretch is computed when somebody wants to know.
func (h *host) replyStretch() float64 {
	if h.reply == 0 {
		h.reply = h.processors.replyStretch()
	}
	return h.reply
}

// cpuDemand is how much of the CPUs a boot could use.
func (d *desktop) cpuDemand(latency float64) float64 {
	b := d.spec.Boot
	switch {
	case d.computing(), d.reading() && b.Polls:
		return b.Share
	case d.reading():
		work := b.RequestCPU.Seconds()
		return b.Depth * work / (latency + work/b.Share)
	}
	return 0
}

// stream is what a boot asks of the disk.
func (d *desktop) stream(h *host) stream {
	b := d.spec.Boot
	return stream{depth: b.Depth, pause: b.RequestCPU.Seconds() * h.stretch / b.Share, cost: h.spec.Disk.cost(b.Reads)}
}

func (h *host) people() processors {
	var p processors
	for _, d := range h.desktops {
		if d.state == Running {
			p.people += float64(d.spec.VCPUs)
			p.load += float64(d.spec.VCPUs) * d.activity
		}
	}
	return p
}

// settleDisk shares the disk between boots, people's own requests and swap.
func (h *host) settleDisk() {
	h.streams = h.streams[:0]
	var people, work, read, faults float64
	swapped := h.swappedShare()
	for _, d := range h.desktops {
		switch {
		case d.reading():
			h.streams = append(h.streams, d.stream(h))
		case d.state == Running && d.activity > 0:
			people++
			work += d.spec.IOPS * d.activity
			read += d.spec.IOPS * d.activity * d.spec.Reads
			faults += d.spec.Touches * d.activity * swapped
		}
	}
	disk := h.spec.Disk
	if work > 0 {
		h.streams = append(h.streams, stream{depth: people, pause: people / work, cost: disk.cost(read / work)})
	}
	if faults > 0 {
		// A page comes in and another goes out for it.
		h.streams = append(h.streams, stream{depth: people, pause: people / faults, cost: 1 + disk.WriteCost})
	}
	h.latency = disk.latency(h.streams)
	h.iops, h.busy = 0, 0
	for _, s := range h.streams {
		rate := s.rate(h.latency)
		h.iops += rate
		h.busy += rate * s.cost / disk.IOPS
	}
}

// horizon is when something happens next, s.
func (h *host) horizon() float64 {
	next := min(h.mergedUntil, h.full())
	for _, d := range h.desktops {
		next = min(next, d.horizon(h.at))
	}
	return next
}
