package nova

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/deskstorm/deskstorm/lab/sim/neutron"
)

// job is something that is done to a server in the background.
type job func(context.Context, *server) error

// begin does something to a server in the background, after what is done to it already; the channel is closed when it is done. It is
// called with the lock held. A job that fails leaves the server in ERROR.
func (n *Nova) begin(s *server, do job) (finished <-chan struct{}) {
	done := make(chan struct{})
	if n.closed {
		close(done)
		return done
	}
	ctx, cancel := context.WithCancelCause(n.ctx)
	w := &work{cancel}
	s.doing = append(s.doing, w)
	n.work.Go(func() {
		defer close(done)
		defer cancel(nil)
		s.working.Lock()
		defer s.working.Unlock()
		err := ctx.Err()
		if err == nil {
			err = do(ctx, s)
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		s.doing = slices.DeleteFunc(s.doing, func(o *work) bool { return o == w })
		if err != nil && !errors.Is(err, errLost) && ctx.Err() == nil {
			s.fault = n.faultOf(err)
			state := failed
			if errors.As(err, new(reverted)) {
				state = s.state
			}
			n.enter(s, state, "")
		}
	})
	return done
}

// reverted is a failure that leaves a server as it was (reverts_task_state of nova/compute/manager.py).
type reverted struct{ error }

// onHost is a job that the nova-compute of a host does, which is an event of an action.
func (n *Nova) onHost(h *host, a *instanceAction, event string, do job) job {
	return func(ctx context.Context, s *server) error {
		if err := n.reach(ctx, h); err != nil {
			return err
		}
		end := n.startEvent(a, event, h.Name)
		err := do(ctx, s)
		switch {
		case errors.Is(context.Cause(ctx), errInterrupted): // nobody is left to say that it has ended
		case ctx.Err() != nil:
			end(nil) // what a deletion interrupts is no failure
		default:
			end(err)
		}
		return err
	}
}

// build takes a server from accepted to running. Where a host cannot build it another one is asked, as often as Nova does.
func (n *Nova) build(a *instanceAction) job {
	return func(ctx context.Context, s *server) error {
		n.mu.Lock()
		n.sayUpdate(s, states{"", s.task}, fromConductor)
		n.mu.Unlock()
		var tried []*host
		var failure error
		for len(tried) < maxBuildRetries {
			h, err := n.schedule(s, s.wish, tried...)
			if err != nil {
				if failure == nil {
					return n.bury(s, a, err)
				}
				break
			}
			n.mu.Lock()
			s.sentTo = h
			lost := n.loses(h)
			n.mu.Unlock()
			if lost {
				return errLost
			}
			failure = n.onHost(h, a, "compute__do_build_and_run_instance", func(ctx context.Context, s *server) error {
				return n.buildOn(ctx, s, h)
			})(ctx, s)
			if failure == nil || ctx.Err() != nil {
				return failure
			}
			n.giveUp(s, failure)
			tried = append(tried, h)
		}
		retries := exception{"MaxRetriesExceeded", "Exceeded maximum number of retries. Exhausted all hosts available for retrying " +
			"build failures for instance " + s.id + "."}
		n.mu.Lock()
		defer n.mu.Unlock()
		n.sayTaskError(s, "build_instances", retries)
		return retries
	}
}

// bury is what becomes of a server that no host has room for.
func (n *Nova) bury(s *server, a *instanceAction, failure error) error {
	n.startEvent(a, "conductor_schedule_and_build_instances", controller)(failure)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sayTaskError(s, "build_instances", failure)
	return failure
}

// giveUp gives back what a host had of a server that it could not build.
func (n *Nova) giveUp(s *server, failure error) {
	n.config.Desktops.Shutdown(s.id)
	n.config.Neutron.Detach(s.id)
	n.config.Placement.Release(s.id)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.say(s, event{name: "create.error", failure: failure, from: s.fromHost()})
	if s.host != nil {
		delete(s.host.servers, s.id)
	}
	s.host, s.zone, s.ports, s.console = nil, s.wish.zone, nil, nil
	n.enter(s, building, scheduling)
}

func (n *Nova) buildOn(ctx context.Context, s *server, h *host) error {
	n.mu.Lock()
	n.enter(s, building, "")
	n.say(s, event{name: "create.start", from: source{"compute", h.Name}, more: map[string]any{"image_name": n.imageName(s)}})
	n.settle(s, h)
	s.sentTo = nil
	n.mu.Unlock()
	n.steps(ctx, s, networking)
	if err := n.attach(s); err != nil {
		return err
	}
	n.steps(ctx, s, blockDevices, spawning)
	if err := n.run(ctx, s, h); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.say(s, event{name: "create.end", from: s.fromHost(), fixedIPs: true, more: map[string]any{"message": "Success"}})
	return nil
}

func (n *Nova) imageName(s *server) string {
	image, _ := n.config.Glance.Image(s.image)
	return image.Name
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

// run boots a server's desktop on a host, and says that the server runs there.
func (n *Nova) run(ctx context.Context, s *server, h *host) error {
	if err := n.start(ctx, s, h); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.fault = nil
	if s.host != h {
		n.settle(s, h)
	}
	if s.launched.IsZero() || s.task == rebuildingSpawning {
		s.launched = n.config.Now()
	}
	n.enter(s, active, "")
	return nil
}

// start boots a server's desktop: the server takes its place among a host's boots, and takes its time.
func (n *Nova) start(ctx context.Context, s *server, h *host) error {
	if boots := h.boots; boots != nil {
		select {
		case boots <- struct{}{}:
			defer func() { <-boots }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := n.boot(ctx, s, h); err != nil {
		return err
	}
	if err := n.reach(ctx, h); err != nil { // it may have gone down meanwhile
		return err
	}
	console, err := n.config.Desktops.Boot(ctx, s.id)
	if err == nil {
		n.mu.Lock()
		if err = ctx.Err(); err == nil { // or it is being deleted, or its nova-compute has ended
			s.console = &console
		}
		n.mu.Unlock()
	}
	if err != nil {
		n.config.Desktops.Shutdown(s.id)
	}
	return err
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
