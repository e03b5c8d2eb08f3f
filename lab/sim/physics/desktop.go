package physics

import (
	"errors"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"time"
)

// Desktop is a kind of desktop.
type Desktop struct {
	VCPUs  int
	Memory float64 // of the guest, MiB
	// Overhead is what its QEMU needs besides, MiB.
	Overhead float64
	// Spread is the relative standard deviation of the touched memory between desktops of the kind.
	Spread float64

	// Shared is the share, 0 to 1, of the touched memory that KSM saves when it had the time and nobody works, and Rewritten the share
	// of that which a fully active desktop writes to all the time, so that it is never merged.
	Shared, Rewritten float64
	// Trimmed is the share of the touched memory that KSM's scan gives back for good, even when its merging is undone: what the guest
	// never touched of transparent huge pages, which the scan splits.
	Trimmed float64

	Boot Boot
	// IOPS is what a fully active desktop asks of the disk, and Reads the share of it that reads.
	IOPS, Reads float64
	// Touches is how many pages a second a fully active desktop touches that it may have to fetch from swap.
	Touches float64
	Reply   Reply
}

// Boot is the work of a boot: what is before it, then CPU (firmware, QEMU), then requests to the disk with CPU work between them.
type Boot struct {
	// Before is how long it takes on the average until QEMU runs (image, ports); it differs as widely as chance does (exponentially),
	// whatever else the host does.
	Before time.Duration
	CPU    time.Duration // of one CPU
	// Spread is the relative standard deviation of CPU between boots.
	Spread float64
	// Share is how much of a CPU one boot can use, above 0.
	Share      float64
	Requests   float64
	Depth      float64       // requests at a time
	RequestCPU time.Duration // of one CPU, before each request
	Reads      float64       // the share, 0 to 1, of the requests that reads; the others write
	// Polls: the guest waits for its disk by asking all the time, as firmware does, and needs its CPU for that.
	Polls bool
	// Memory is the share, 0 to 1, of the guest's memory that it has touched when it is booted.
	Memory float64
}

// Reply is what a desktop does from a key to the picture that shows it.
type Reply struct {
	CPU   time.Duration
	Reads float64 // from the disk, on the average
	Pages float64 // touched
}

func (s Desktop) check() error {
	b := s.Boot
	switch {
	case s.VCPUs < 1 || !positive(s.Memory):
		return errors.New("it has no CPU or no memory")
	case !positive(b.Share) || b.Requests > 0 && !positive(b.Depth):
		return errors.New("its boot has no share of a CPU, or requests none at a time")
	case b.Before < 0 || b.CPU < 0 || b.RequestCPU < 0 || s.Reply.CPU < 0:
		return errors.New("a time of its is negative")
	}
	for _, v := range []float64{s.Overhead, s.Spread, b.Spread, b.Requests, s.IOPS, s.Touches, s.Reply.Reads, s.Reply.Pages} {
		if !between(v, 0, math.MaxFloat64) {
			return errors.New("an amount of its is negative or none")
		}
	}
	for _, share := range []float64{s.Shared, s.Rewritten, s.Trimmed, s.Shared + s.Trimmed, s.Reads, b.Reads, b.Memory} {
		if !between(share, 0, 1) {
			return errors.New("a share of its is not between 0 and 1")
		}
	}
	return nil
}

func positive(v float64) bool { return v > 0 && v <= math.MaxFloat64 }

// State is what a desktop does.
type State string

// What a desktop can do. One is killed by the OOM killer or by its host's end.
const (
	Off     State = "off"
	Booting State = "booting"
	Running State = "running"
	Killed  State = "killed"
)

type desktop struct {
	id       string
	host     *host
	spec     Desktop
	random   *rand.Rand
	appetite float64 // for memory, about 1
	state    State

	started, booted float64 // s, of this life
	touched         float64 // MiB
	growth          float64 // of touched, MiB/s
	activity        float64

	// While it boots.
	begins          float64 // when its QEMU runs, s
	prepared        bool
	cpu, cpuTotal   float64 // left, CPU s
	requests        float64 // left
	cpuRate, ioRate float64 // a second
	waited          float64 // request s in this boot
	latency         float64 // mean of the boot's requests, s, once it has booted

	profile Profile // what is left of it
	since   float64 // the login, s
}

func randomOf(seed uint64, id string) *rand.Rand {
	f := fnv.New64a()
	f.Write([]byte(id))
	return rand.New(rand.NewPCG(seed, f.Sum64()))
}

// vary is about 1, with a relative standard deviation, and never further from 1 than three of them.
func (d *desktop) vary(spread float64) float64 {
	return max(0.05, 1+spread*max(-3, min(3, d.random.NormFloat64())))
}

func (d *desktop) begin(now float64) {
	b := d.spec.Boot
	d.state, d.started, d.touched, d.waited, d.latency = Booting, now, 0, 0, 0
	d.cpuTotal = b.CPU.Seconds() * d.vary(b.Spread)
	d.cpu, d.requests = d.cpuTotal, b.Requests
	d.begins, d.prepared = now+b.Before.Seconds()*d.random.ExpFloat64(), b.Before == 0
}

// A boot's work is done when less than this is left of it: what floating point leaves over.
const (
	cpuRest     = 1e-9 // s
	requestRest = 1e-4
	memoryRest  = 1e-6 // MiB
)

func (d *desktop) computing() bool { return d.state == Booting && d.prepared && d.cpu > cpuRest }
func (d *desktop) reading() bool {
	return d.state == Booting && !d.computing() && d.requests > requestRest
}

// limit is the most that it touches at a point of a profile, MiB.
func (d *desktop) limit(share float64) float64 {
	return min(d.spec.Memory, d.spec.Memory*share*d.appetite)
}

func (d *desktop) login(now float64, p Profile) {
	d.profile, d.since, d.activity = p, now, 0
}

func (d *desktop) logout() { d.profile, d.activity = nil, 0 }

// work takes the points of the profile that are due.
func (d *desktop) work(now float64) (changed bool) {
	for len(d.profile) > 0 && d.since+d.profile[0].After.Seconds() <= now {
		d.activity = d.profile[0].Activity
		d.profile = d.profile[1:]
		changed = true
	}
	return changed
}

// grow sets how fast the touched memory grows now.
func (d *desktop) grow(now float64) {
	d.growth = 0
	switch {
	case d.computing() && d.spec.Boot.Requests == 0:
		d.growth = d.limit(d.spec.Boot.Memory) * d.cpuRate / d.cpuTotal
	case d.reading():
		d.growth = d.limit(d.spec.Boot.Memory) * d.ioRate / d.spec.Boot.Requests
	case d.state == Running && len(d.profile) > 0:
		left := d.since + d.profile[0].After.Seconds() - now
		if left > 0 {
			d.growth = max(0, d.limit(d.profile[0].Memory)-d.touched) / left
		}
	}
}

// shared is the share of the touched memory that KSM can save now.
func (d *desktop) shared() float64 {
	return d.spec.Shared*(1-d.spec.Rewritten*d.activity) + d.spec.Trimmed
}

// horizon is when something happens to it next, s.
func (d *desktop) horizon(now float64) float64 {
	switch {
	case d.state == Booting && !d.prepared:
		return d.begins
	case d.computing():
		return now + d.cpu/d.cpuRate
	case d.reading():
		return now + d.requests/d.ioRate
	case len(d.profile) > 0:
		return d.since + d.profile[0].After.Seconds()
	}
	return math.Inf(1)
}
