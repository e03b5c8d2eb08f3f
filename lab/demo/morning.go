package demo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/spice/screen"
)

// manyPeople is from how many people on what is broken on the way to the desktops can be noticed: with fewer of them, perhaps
// nobody comes meanwhile.
const manyPeople = 20

// directoryDelay is how much longer a slow directory takes for each request, of which a login has several.
const directoryDelay = 300 * time.Millisecond

// arrivals is how long people keep coming.
func arrivals(shift time.Duration) time.Duration { return shift * 2 / 5 }

// faults are what the demo breaks in a shift: while people come a Nova that fails and a directory that is slow, and later
// desktops at which people work.
func (c *desktopCloud) faults(people int, shift time.Duration) []*fault {
	var all []*fault
	if people >= manyPeople {
		all = append(all, c.failingConsoles(arrivals(shift)), c.slowDirectory(arrivals(shift)))
	}
	if c.qemu {
		return append(all, c.killed("a guest's QEMU is killed", shift*2/3))
	}
	all = append(all, c.deadHost(max(1, people/10), shift))
	if people > 1 {
		all = append(all, c.secondClient(shift*7/10))
	}
	if people > 2 {
		all = append(all, c.killed("a desktop is killed", shift*8/10))
	}
	return all
}

func (c *desktopCloud) slowDirectory(coming time.Duration) *fault {
	lasts := coming * 15 / 100
	return &fault{
		kind: slowFault, step: string(client.StepAuth), after: coming * 35 / 100, lasts: lasts,
		what: fmt.Sprintf("LDAP answers %s late, for %s", length(directoryDelay), length(lasts)),
		inject: func(context.Context) (func(), error) {
			c.cloud.Directory.Slow(directoryDelay)
			return func() { c.cloud.Directory.Slow(0) }, nil
		},
	}
}

// failingConsoles breaks Nova while the pool has desktops ready. Once it has none, nobody would meet it: without consoles no
// boot is ever done, and people wait for theirs.
func (c *desktopCloud) failingConsoles(coming time.Duration) *fault {
	lasts := coming * 8 / 100
	return &fault{
		kind: errorFault, step: string(client.StepConsole), class: string(client.CloudFailed), after: coming / 5, lasts: lasts,
		untilMet: coming / 3, // a few people come slowly; soon the pool runs dry
		what:     fmt.Sprintf("Nova answers 500 for consoles, for %s or more", length(lasts)),
		inject: func(context.Context) (func(), error) {
			return c.cloud.Sim.Inject(sim.Fault{
				Service: "nova", Method: http.MethodPost, Path: "/v2.1/servers/*/remote-consoles",
				Status: http.StatusInternalServerError,
			})
		},
	}
}

// deadHost hangs some of the desktops at which people work, for a sixth of the shift.
func (c *desktopCloud) deadHost(desktops int, shift time.Duration) *fault {
	lasts := shift / 6
	return &fault{
		kind: hangFault, desktops: desktops, after: shift * 55 / 100, lasts: lasts,
		what: fmt.Sprintf("a host dies: %s for %s", count(desktops, "desktop hangs", "desktops hang"), length(lasts)),
		inject: func(context.Context) (func(), error) {
			var hung []*screen.Desktop
			for _, one := range c.inUse(desktops) {
				one.screen.Hang(true)
				hung = append(hung, one.screen)
			}
			if len(hung) == 0 {
				return nil, errNobody
			}
			return func() {
				for _, d := range hung {
					d.Hang(false)
				}
			}, nil
		},
	}
}

func (c *desktopCloud) secondClient(after time.Duration) *fault {
	return &fault{
		kind: evictFault, desktops: 1, after: after, what: "a second client takes over a desktop",
		inject: func(ctx context.Context) (func(), error) {
			for _, one := range c.inUse(1) {
				return nil, c.takeOver(ctx, one.screen)
			}
			return nil, errNobody
		},
	}
}

func (c *desktopCloud) killed(what string, after time.Duration) *fault {
	return &fault{
		kind: killedFault, desktops: 1, after: after, what: what,
		inject: func(context.Context) (func(), error) {
			server, err := c.victim()
			if err != nil {
				return nil, err
			}
			_, err = c.cloud.Sim.KillDesktop(server)
			return nil, err
		},
	}
}

var errNobody = errors.New("nobody is at a desktop that works")

// victim is the server of a desktop at which somebody works.
func (c *desktopCloud) victim() (server string, err error) {
	if c.qemu {
		return c.guest()
	}
	for _, one := range c.inUse(1) {
		return one.server, nil
	}
	return "", errNobody
}

// guest is the server of a guest. There are no more guests than people.
func (c *desktopCloud) guest() (server string, err error) {
	for _, s := range c.cloud.Sim.Servers() {
		if s.Console != nil {
			server = s.ID // the one that was started last
		}
	}
	if server == "" {
		return "", errNobody
	}
	return server, nil
}

// inUse draws some of the simulated desktops at which people work and that work themselves, at most so many.
func (c *desktopCloud) inUse(atMost int) []running {
	all := c.screens()
	c.mu.Lock()
	defer c.mu.Unlock()
	all = slices.DeleteFunc(all, func(one running) bool {
		return one.screen.Stats().Clients == 0 || one.screen.Hung() || c.others[one.screen] != nil
	})
	c.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(atMost, len(all))]
}
