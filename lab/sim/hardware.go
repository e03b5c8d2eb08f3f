package sim

import (
	"cmp"
	"context"
	"time"

	"github.com/deskstorm/deskstorm/lab/sim/hardware"
	"github.com/deskstorm/deskstorm/lab/sim/nova"
	"github.com/deskstorm/deskstorm/lab/sim/physics"
)

// Physics is what the servers of a lab run on. Zero values are those of physics.Calibrated.
type Physics struct {
	Speed float64 // of the hardware's time to real time: 1 if 0, which is real time; 60 makes an hour a minute
	// Host is a kind of host; nil: one of production, its swap and own need in proportion to its memory. Memory and CPUs are those of
	// Config.Hosts.
	Host *physics.Host
	// Desktop is a kind of desktop; nil: a pooled one. vCPUs and memory are the flavor's.
	Desktop *physics.Desktop
	// Work begins when a desktop has booted; nil: a shift in a call centre. Nobody works if it is empty and not nil.
	Work physics.Profile
}

// host is one of the lab's hosts as hardware.
func (p Physics) host(h Host) physics.Host {
	spec := physics.Calibrated().Host
	share := float64(h.MemoryMB) / spec.Memory
	spec.Own, spec.Swap = spec.Own*share, spec.Swap*share
	if p.Host != nil {
		spec = *p.Host
	}
	spec.Memory, spec.CPUs = float64(h.MemoryMB), float64(h.VCPUs)
	return spec
}

// desktop is a server of a flavor as hardware has it.
func (p Physics) desktop(f Flavor) physics.Desktop {
	kind := physics.Calibrated().Pooled
	if p.Desktop != nil {
		kind = *p.Desktop
	}
	kind.VCPUs, kind.Memory = f.VCPUs, float64(f.RAM)
	return kind
}

func (p Physics) work() physics.Profile {
	switch {
	case p.Work == nil:
		return physics.Calibrated().Shift
	case len(p.Work) == 0:
		return nil
	}
	return p.Work
}

// startHardware starts the hardware, and has Nova use it.
func (l *Lab) startHardware(n *nova.Config, screens Desktops) error {
	p := *l.config.Physics
	p.Speed = cmp.Or(p.Speed, 1)
	hosts := map[string]physics.Host{}
	for _, h := range l.config.Hosts {
		hosts[h.Name] = p.host(h)
	}
	slow, _ := screens.(slowScreens)
	var err error
	l.Hardware, err = hardware.Start(hardware.Config{
		Hosts: hosts, Work: p.work(), Speed: p.Speed, Seed: l.config.Seed, Cloud: shortage{l, n.Desktops, slow},
	})
	if err != nil {
		return err
	}
	n.Hardware = bootOn{l.Hardware, p}
	n.Desktops = runOn{n.Desktops, l.Hardware}
	n.ServiceDownTime = time.Duration(float64(time.Minute) / p.Speed)
	return nil
}

// resumeServers lets the servers run that are ACTIVE from the start.
func (l *Lab) resumeServers() error {
	if l.Hardware == nil {
		return nil
	}
	for _, s := range l.Nova.Servers() {
		if s.Status != "ACTIVE" || l.Hardware.Runs(s.ID) {
			continue
		}
		if err := l.Hardware.Resume(s.ID, s.Host, l.config.Physics.desktop(l.config.Flavors[0])); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) closeHardware() {
	if l.Hardware != nil {
		l.Hardware.Close()
	}
}

// bootOn is the hardware as Nova sees it.
type bootOn struct {
	*hardware.Hardware
	physics Physics
}

func (b bootOn) Boot(ctx context.Context, serverID, host string, f Flavor) error {
	return b.Hardware.Boot(ctx, serverID, host, b.physics.desktop(f))
}

// runOn is Desktops that need hardware as long as they are there.
type runOn struct {
	Desktops
	hardware *hardware.Hardware
}

func (r runOn) Boot(ctx context.Context, serverID string) (Console, error) {
	console, err := r.Desktops.Boot(ctx, serverID)
	if err == nil && !r.hardware.Runs(serverID) {
		r.Desktops.Kill(serverID) // the OOM killer was quicker
	}
	return console, err
}

func (r runOn) Shutdown(serverID string) {
	r.Desktops.Shutdown(serverID)
	r.hardware.Halt(serverID)
}

func (r runOn) Kill(serverID string) bool {
	killed := r.Desktops.Kill(serverID)
	if killed {
		r.hardware.Halt(serverID)
	}
	return killed
}

// shortage is what becomes of servers when hardware runs short.
type shortage struct {
	lab      *Lab
	desktops Desktops
	screens  slowScreens // nil: desktops are no screens
}

// slowScreens are desktops that answer a key as late as they are told.
type slowScreens interface {
	SetGuestLatency(serverID string, latency time.Duration) bool
}

func (s shortage) Killed(serverID string)  { s.kill(serverID) }
func (s shortage) Noticed(serverID string) { s.lab.Nova.SyncPowerState(serverID) }

// kill ends a desktop, also one that nobody has connected to yet, of which others see the lease.
func (s shortage) kill(serverID string) {
	s.desktops.Kill(serverID)
	s.lab.DHCP.Stopped(serverID)
}

// HostDown leaves Nova with what it knew: nobody reports.
func (s shortage) HostDown(host string, serverIDs []string) {
	_ = s.lab.Nova.SetHostDown(host, true) // the hosts are Nova's
	for _, id := range serverIDs {
		s.kill(id)
	}
}

// HostUp starts nova-compute, which finds its servers not running.
func (s shortage) HostUp(host string) { _ = s.lab.Nova.SetHostDown(host, false) }

// Reply slows a screen down, where desktops are screens.
func (s shortage) Reply(serverID string, latency time.Duration) {
	if s.screens != nil {
		s.screens.SetGuestLatency(serverID, latency)
	}
}
