package nova

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/deskstorm/deskstorm/lab/sim/neutron"
	"github.com/deskstorm/deskstorm/lab/sim/placement"
)

// noValidHost is what a server fails with that no host has room for (conductor and scheduler).
const noValidHost = "No valid host was found. There are not enough hosts available."

// begin does something to a server in the background, after what is done to it already. It is called with the lock held.
func (n *Nova) begin(s *server, do func(context.Context, *server) error, done func(error)) {
	if n.closed {
		return
	}
	ctx, cancel := context.WithCancel(n.ctx)
	s.cancel = cancel
	n.work.Go(func() {
		defer cancel()
		s.working.Lock()
		defer s.working.Unlock()
		err := ctx.Err()
		if err == nil {
			err = do(ctx, s)
		}
		if errors.Is(err, errLost) {
			return
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		done(err)
		if err != nil && ctx.Err() == nil {
			s.state = failed
			s.setTask("")
			s.fault = &fault{500, err.Error(), n.config.Now()}
			n.touch(s)
		}
	})
}

// build takes a server from accepted to running.
func (n *Nova) build(ctx context.Context, s *server) error {
	provider, ok := n.config.Placement.Claim(s.id, s.project, s.user, resourcesOf(s.flavor), s.wantedHost)
	if !ok {
		//lint:ignore ST1005 Nova's words
		return errors.New(noValidHost)
	}
	n.mu.Lock()
	h := n.hostByID[provider]
	if n.loses(h) {
		n.mu.Unlock()
		return errLost
	}
	s.host = h
	s.setTask(networking)
	h.servers[s.id] = s
	n.touch(s)
	n.mu.Unlock()
	if err := n.attach(s); err != nil {
		return err
	}
	return n.run(ctx, s, spawning)
}

func resourcesOf(f *Flavor) map[string]int {
	resources := map[string]int{placement.VCPU: f.VCPUs, placement.MemoryMB: f.RAM}
	if f.Disk > 0 {
		resources[placement.DiskGB] = f.Disk
	}
	return resources
}

func (n *Nova) attach(s *server) error {
	var ports []neutron.Port
	for _, network := range s.networks {
		p, err := n.config.Neutron.Attach(neutron.PortSpec{Network: network, Server: s.id, Host: s.host.Name, Project: s.project})
		if err != nil {
			return err
		}
		ports = append(ports, p)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	s.ports = ports
	return nil
}

// run boots a server's desktop: the server takes its place among its host's boots, takes its time, and then runs.
func (n *Nova) run(ctx context.Context, s *server, task string) error {
	n.mu.Lock()
	s.setTask(task)
	n.touch(s)
	n.mu.Unlock()
	if boots := s.host.boots; boots != nil {
		select {
		case boots <- struct{}{}:
			defer func() { <-boots }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := sleep(ctx, n.bootDuration()); err != nil {
		return err
	}
	console, err := n.config.Desktops.Boot(ctx, s.id)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if s.task == deletingTask {
		return nil // its desktop is shut down next
	}
	s.console, s.state, s.task, s.fault = &console, active, "", nil
	if s.launched.IsZero() {
		s.launched = n.config.Now()
	}
	n.touch(s)
	return nil
}

func (n *Nova) bootDuration() time.Duration {
	n.randomMu.Lock()
	defer n.randomMu.Unlock()
	return n.config.Boot(n.random)
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// DefaultBoot takes 200 ms, as fast as a test likes it.
func DefaultBoot(*rand.Rand) time.Duration { return 200 * time.Millisecond }

// deleteServer takes a server from its users at once; it is gone when what it held has been given back.
func (n *Nova) deleteServer(c *call) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.find(c)
	if s == nil {
		return
	}
	c.w.WriteHeader(204)
	if s.task == deletingTask {
		return
	}
	n.delete(s, n.record(c, s, "delete"))
}

// delete is called with the lock held.
func (n *Nova) delete(s *server, done func(error)) {
	if s.cancel != nil {
		s.cancel()
	}
	s.task = deletingTask
	n.touch(s)
	n.begin(s, n.destroy, done)
}

func (n *Nova) destroy(_ context.Context, s *server) error {
	n.config.Desktops.Shutdown(s.id)
	n.config.Neutron.Detach(s.id)
	n.config.Placement.Release(s.id)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.remove(s)
	return nil
}
