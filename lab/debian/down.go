package debian

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/deskstorm/deskstorm/lab/folder"
)

// endTimeout is what a service has to end by itself.
const endTimeout = 20 * time.Second

// Down ends what Up started, and nothing else: services, desktops under QEMU, dnsmasq, and Neutron's devices. The data stay: Up goes
// on with them.
func Down(ctx context.Context, dir string, tell func(string)) error {
	l, err := Open(dir)
	if err != nil {
		return err
	}
	l.tell = tell
	unlock, err := l.claim()
	if err != nil {
		return err
	}
	defer unlock()
	if err := l.down(ctx); err != nil {
		return fmt.Errorf("bringing the lab in %s down: %w", dir, err)
	}
	return nil
}

func (l *Lab) down(ctx context.Context) error {
	var errs []error
	if r, err := l.daemons.Find("libvirtd"); err == nil && r.Alive() {
		errs = append(errs, l.stop(ctx, "broker"), l.stop(ctx, "nova-compute-"+libvirtHost), l.destroyGuests(ctx))
		l.say("desktops have ended")
	}
	// The last to be started is the first to end, so that nobody waits for what has ended already.
	for _, part := range slices.Backward(l.parts()) {
		var names []string
		for _, s := range part {
			names = append(names, s.name)
		}
		errs = append(errs, l.stop(ctx, names...))
	}
	// Those of an earlier Up with other options.
	left, err := l.daemons.All()
	errs = append(errs, err)
	for _, r := range left {
		errs = append(errs, l.stop(ctx, r.Name))
	}
	errs = append(errs, l.removeNetworks(ctx))
	if err := os.RemoveAll(l.path(folder.EnvironmentFile, nil)); err != nil {
		errs = append(errs, err) // it points at ports that are closed
	}
	return errors.Join(errs...)
}

// stop ends daemons at once.
func (l *Lab) stop(ctx context.Context, names ...string) error {
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	var g errgroup.Group
	for _, name := range names {
		g.Go(func() error {
			if _, err := l.daemons.Find(name); err != nil {
				return nil // it does not run
			}
			if err := l.daemons.Stop(ctx, name); err != nil {
				return err
			}
			l.say("%s has ended", name)
			return nil
		})
	}
	return g.Wait()
}

// Wipe brings a lab down and removes its folder. What is kept for other labs in the cache stays.
func Wipe(ctx context.Context, dir string, tell func(string)) error {
	if err := Down(ctx, dir, tell); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}
