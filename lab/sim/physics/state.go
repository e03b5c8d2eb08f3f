package physics

import "time"

// HostState is a host at a moment.
type HostState struct {
	Name     string
	Alive    bool
	OOMKills int // so far
	Desktops int // placed here
	On       int // of them that boot or run
	Booting  int

	Memory    float64 // MiB
	Used      float64 // of it, MiB
	Committed float64 // the memory of all desktops placed here, MiB
	Swap      float64 // MiB
	SwapUsed  float64 // MiB
	Limit     float64 // memory and swap, MiB

	KSM   bool    // ksmd scans
	Saved float64 // by merging, MiB
	// Exposure is what would be needed, MiB, if all merging was undone at once: above Limit that would kill.
	Exposure float64

	CPUs float64
	// Load is how many CPUs people and boots would use if nothing slowed them down.
	Load    float64
	Stretch float64 // how much longer a reply's CPU work takes than alone

	IOPS        float64       // served
	Utilisation float64       // of the disk, 0 to 1
	Queue       float64       // requests waiting or served
	Latency     time.Duration // of a request
	Requests    float64       // served so far
	Busy        time.Duration // of the disk, so far

	// What /proc/pressure says as "some", roughly, 0 to 1: the share of their time that those who want CPU or disk wait for others,
	// and that people wait for pages from swap. Without swap nothing is seen of a shortage of memory before the first kill.
	CPUPressure, IOPressure, MemoryPressure float64
}

// Host is the state of a host now.
func (m *Model) Host(name string) (HostState, error) {
	h, err := m.host(name)
	if err != nil {
		return HostState{}, err
	}
	h.elapse(m.now)
	s := HostState{
		Name: name, Alive: h.alive, OOMKills: h.oomKills, Desktops: len(h.desktops),
		Memory: h.spec.Memory, Swap: h.spec.Swap, Limit: h.limit(), SwapUsed: h.swapped(), KSM: h.ksm && h.alive,
		CPUs: h.spec.CPUs, Load: h.processors.load + h.processors.boots, Stretch: h.replyStretch(),
		IOPS: h.iops, Utilisation: h.busy, Queue: h.iops * h.latency, Latency: duration(h.latency),
		Requests: h.requests, Busy: duration(h.busySeconds),
	}
	for _, d := range h.desktops {
		s.Committed += d.spec.Memory
		if d.on() {
			s.On++
		}
		if d.state == Booting {
			s.Booting++
		}
	}
	need := h.need()
	s.Used = min(need, h.spec.Memory)
	s.Saved = h.saved()
	s.Exposure = need + s.Saved
	s.CPUPressure = 1 - 1/s.Stretch
	s.IOPressure = s.Utilisation * (1 - h.spec.Disk.Disks/h.spec.Disk.IOPS/h.latency)
	s.MemoryPressure = h.faultShare()
	return s, nil
}

// faultShare is the share of their time that people wait for pages from swap.
func (h *host) faultShare() float64 {
	var faults, people float64
	for _, d := range h.desktops {
		if d.state == Running && d.activity > 0 {
			people++
			faults += d.spec.Touches * d.activity * h.swappedShare()
		}
	}
	if faults == 0 {
		return 0
	}
	return h.latency / (h.latency + people/faults)
}

// DesktopState is a desktop at a moment.
type DesktopState struct {
	ID, Host string
	State    State
	Touched  float64       // of its memory, MiB
	Activity float64       // 0 to 1
	Reply    time.Duration // from a key to the picture that shows it; 0 unless it runs
	// Of its last boot that ended: how long it took, and its requests on the average.
	BootTime, BootLatency time.Duration
}

// Desktop is the state of a desktop now.
func (m *Model) Desktop(id string) (DesktopState, error) {
	d, err := m.desktop(id)
	if err != nil {
		return DesktopState{}, err
	}
	h := d.host
	h.elapse(m.now)
	s := DesktopState{ID: id, Host: h.name, State: d.state, Touched: d.touched, Activity: d.activity}
	if d.state != Running {
		return s, nil
	}
	s.BootTime, s.BootLatency = duration(d.booted-d.started), duration(d.latency)
	r := d.spec.Reply
	s.Reply = duration(r.CPU.Seconds()*h.replyStretch() + (r.Reads+r.Pages*h.swappedShare())*h.latency)
	return s, nil
}
