package debian

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// service is one program of the lab.
type service struct {
	name  string
	ports []int // where it listens, at the lab's address
	// prepare makes what it needs beside its configuration, such as its data folder. It is quick when that is there. May be nil.
	prepare func(context.Context, *Lab) error
	command func(*Lab) *exec.Cmd
	// answers tells whether it does its work now.
	answers func(context.Context, *Lab) error
}

// The parts of the lab, in the order in which they are started: what a part's services need is in the parts before.
func (l *Lab) base() []service { return []service{mariadb(), memcached(), epmd(), slapd()} }

func (l *Lab) identity() []service { return []service{keystone(), rabbitmq()} }

func (l *Lab) cloud() []service {
	all := []service{
		glance(), placement(), novaAPI(), novaConductor(), novaScheduler(), libvirtd(), novaCompute(libvirtHost),
	}
	for i := range l.Computes {
		all = append(all, novaCompute(fakeHost(i)))
	}
	return all
}

// agents are Neutron's, which lose a minute if Neutron does not answer their first call.
func (l *Lab) agents() []service { return []service{linuxbridge(), dhcpAgent()} }

func (l *Lab) rest() []service {
	return []service{broker(), nodeExporter(), libvirtExporter(), prometheus()}
}

func (l *Lab) parts() [][]service {
	return [][]service{l.base(), l.identity(), append(l.cloud(), neutronServer()), l.agents(), l.rest()}
}

func (l *Lab) services() []service {
	var all []service
	for _, part := range l.parts() {
		all = append(all, part...)
	}
	return all
}

const (
	// patience is how long a service may take to answer: a compute node is up when Nova has seen it twice, and all share
	// the machine.
	patience     = 5 * time.Minute
	healthPoll   = 200 * time.Millisecond
	checkTimeout = 10 * time.Second // of one check
)

// start starts those services of a part that do not run, at once, and waits until all answer.
func (l *Lab) start(ctx context.Context, part []service) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, s := range part {
		g.Go(func() error { return l.startOne(ctx, s) })
	}
	return g.Wait()
}

func (l *Lab) startOne(ctx context.Context, s service) error {
	r, err := l.daemons.Find(s.name)
	if err != nil || !r.Alive() {
		if err := l.portsFree(ctx, s); err != nil {
			return err
		}
		if s.prepare != nil {
			if err := s.prepare(ctx, l); err != nil {
				return fmt.Errorf("preparing %s: %w", s.name, err)
			}
		}
		if r, err = l.daemons.Start(s.name, s.command(l), l.logs(s.name+".log")); err != nil {
			return err
		}
		defer func() {
			if err == nil {
				l.say("%s answers", s.name)
			}
		}()
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(healthPoll)
	defer tick.Stop()
	var last error // what it lacked before the time was over
	for {
		if err = s.check(ctx, l); err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		if !r.Alive() {
			err = fmt.Errorf("%s has ended; its last words, in %s: %s", s.name, r.Log, tail(r.Log))
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			err = fmt.Errorf("%s does not answer (%w): %w; its log is %s", s.name, ctx.Err(), last, r.Log)
			return err
		}
	}
}

func (s service) check(ctx context.Context, l *Lab) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	return s.answers(ctx, l)
}

// portsFree refuses to start a service whose port another program has.
func (l *Lab) portsFree(ctx context.Context, s service) error {
	for _, port := range s.ports {
		var config net.ListenConfig
		listener, err := config.Listen(ctx, "tcp", l.at(port))
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("%s cannot have %s: another program listens there, or on this port of all addresses (ss -tlnp sport = :%d "+
				"tells which); stop it, or give the lab another --address", s.name, l.at(port), port)
		}
		if err != nil {
			return fmt.Errorf("%s cannot have %s: %w", s.name, l.at(port), err)
		}
		if err := listener.Close(); err != nil {
			return err
		}
	}
	return nil
}

// at is a port of the lab's address.
func (l *Lab) at(port int) string { return net.JoinHostPort(l.Address, strconv.Itoa(port)) }

func (l *Lab) startBase(ctx context.Context) error     { return l.start(ctx, l.base()) }
func (l *Lab) startIdentity(ctx context.Context) error { return l.start(ctx, l.identity()) }

func (l *Lab) startCloud(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return l.start(ctx, l.cloud()) })
	g.Go(func() error {
		if err := l.start(ctx, []service{neutronServer()}); err != nil {
			return err
		}
		return l.start(ctx, l.agents())
	})
	return g.Wait()
}

func (l *Lab) startRest(ctx context.Context) error { return l.start(ctx, l.rest()) }

// ErrNoService says that the lab has no service of a name.
var ErrNoService = errors.New("the lab has no such service")

// Restart ends a service of the lab, starts it again, and waits until it answers.
func (l *Lab) Restart(ctx context.Context, name string) error {
	for _, s := range l.services() {
		if s.name == name {
			if err := l.stop(ctx, name); err != nil {
				return err
			}
			return l.start(ctx, []service{s})
		}
	}
	return fmt.Errorf("restarting %s: %w", name, ErrNoService)
}

// RestartCompute restarts the nova-compute of a host.
func (l *Lab) RestartCompute(ctx context.Context, host string) error {
	return l.Restart(ctx, "nova-compute-"+host)
}
