package up

import (
	"github.com/deskstorm/deskstorm/lab/farm"
	"github.com/deskstorm/deskstorm/lab/sim"
)

// own is how many descriptors the lab holds for a person beside their desktop's: connections with the broker and the APIs.
const own = 4

// split is a farm, if the desktops are more than this process may hold descriptors for, else nil.
func (c *Cloud) split(o Options) (sim.Desktops, error) {
	limit, err := farm.RaiseLimit()
	if err != nil {
		return nil, err
	}
	// As many desktops as the broker's wait for clients without a broker.
	if 2*o.Desktops <= farm.Holds(limit-own*o.Users, o.Screen) {
		return nil, nil
	}
	desktops, err := farm.New(farm.Config{Command: o.ScreenCommand, Screen: o.Screen})
	if err != nil {
		return nil, err
	}
	c.closers = append(c.closers, desktops.Close)
	return desktops, nil
}
