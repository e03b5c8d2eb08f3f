package control

import (
	"fmt"
	"math"
	"net/http"
	"slices"

	"github.com/deskstorm/deskstorm/lab/sim"
)

// desktops are the parameters that say which desktops a fault hits: one by its server's id or name, or those of a host, or so
// many or such a part of them or of all, chosen by the lab's seed.
type desktops struct {
	Server   string  `json:"server,omitempty"`
	Name     string  `json:"name,omitempty"`
	Host     string  `json:"host,omitempty"`
	Count    int     `json:"count,omitempty"`
	Fraction float64 `json:"fraction,omitempty"` // of more than 0 to 1, rounded up
}

func (d desktops) none() bool { return d == desktops{} }

func (d desktops) check() error {
	ways := 0
	for _, given := range []bool{d.Server != "", d.Name != "", d.Host != "" || d.Count != 0 || d.Fraction != 0} {
		if given {
			ways++
		}
	}
	switch {
	case ways != 1:
		return badRequest("Say which desktops: server, or name, or host, count and fraction.")
	case d.Count < 0 || d.Fraction < 0 || d.Fraction > 1 || math.IsNaN(d.Fraction):
		return badRequest("A count is not negative, and a fraction is from 0 to 1.")
	case d.Count != 0 && d.Fraction != 0:
		return badRequest("Say count or fraction, not both.")
	}
	return nil
}

// choose holds things of the desktops that the parameters name, of those that are fit for it, and says that they are hit. Where
// it may choose it takes those that no other fault holds.
func (a *attempt) choose(d desktops, thing, fitness string, fit func(sim.Server) bool) ([]sim.Server, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	if d.Host != "" {
		if err := a.checkHost(d.Host); err != nil {
			return nil, err
		}
	}
	one := d.Server != "" || d.Name != ""
	var among []sim.Server
	named := false
	for _, s := range a.Sim.Servers() {
		if d.Server != "" && s.ID != d.Server || d.Name != "" && s.Name != d.Name || d.Host != "" && s.Host != d.Host {
			continue
		}
		named = true
		if fit(s) && (one || a.free(thing, s.ID)) {
			among = append(among, s)
		}
	}
	switch wanted := d.size(len(among)); {
	case one && !named:
		return nil, noTarget("There is no server %q.", d.Server+d.Name)
	case one && len(among) > 1:
		return nil, noTarget("%d servers have the name %q: say which server.", len(among), d.Name)
	case len(among) == 0:
		return nil, noTarget("No such desktop %s and is free for this fault.", fitness)
	case wanted > len(among):
		return nil, noTarget("%d desktops are asked for, but only %d %s and are free for this fault.", wanted, len(among), fitness)
	case wanted < len(among):
		a.control.mu.Lock()
		a.control.random.Shuffle(len(among), func(i, j int) { among[i], among[j] = among[j], among[i] })
		a.control.mu.Unlock()
		among = among[:wanted]
	}
	for _, s := range among {
		if err := a.hold(thing, s.ID); err != nil {
			return nil, err
		}
		a.hits(s.ID)
	}
	return among, nil
}

func (a *attempt) checkHost(name string) error {
	if !slices.ContainsFunc(a.Sim.Hosts(), func(h sim.HostState) bool { return h.Name == name }) {
		return noTarget("There is no host %q.", name)
	}
	return nil
}

// size is how many of n there are to be.
func (d desktops) size(n int) int {
	switch {
	case d.Count > 0:
		return d.Count
	case d.Fraction > 0:
		return int(math.Ceil(d.Fraction * float64(n)))
	}
	return n
}

// What desktops must be for faults.
func isActive(s sim.Server) bool  { return s.Status == "ACTIVE" }
func hasBooted(s sim.Server) bool { return isActive(s) && s.Console != nil }

func noTarget(format string, values ...any) error {
	return &refusal{http.StatusUnprocessableEntity, "target", fmt.Sprintf(format, values...)}
}
