package fault

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/runner/target"
)

// Guard is what the configuration allows. The zero Guard allows nothing.
type Guard struct {
	Targets target.Config
	Limits  Limits
}

// Limits bound what faults do, those of a run together.
type Limits struct {
	Longest  time.Duration // of a fault
	Desktops int           // that are hit at once
	Hosts    int           // that are hit at once
}

// DefaultLimits are those of a configuration that says nothing of them.
func DefaultLimits() Limits { return Limits{Longest: 10 * time.Minute, Desktops: 10, Hosts: 1} }

// The greatest limits: nobody wants more in an experiment.
const (
	longestLimit = 24 * time.Hour
	desktopLimit = 100_000
	hostLimit    = 10_000
)

// ReadLimits reads the section limits. What it does not say is as DefaultLimits.
func ReadLimits(r *configfile.Reader, n ast.Node) Limits {
	l := DefaultLimits()
	r.Mapping(n, configfile.Keys{
		"longest":  r.Duration(&l.Longest, time.Second, longestLimit),
		"desktops": r.Number(&l.Desktops, 0, desktopLimit),
		"hosts":    r.Number(&l.Hosts, 0, hostLimit),
	})
	return l
}

// Check refuses a plan that the configuration does not allow, beside others of the run that are active. The error joins all that is
// wrong, and says what the configuration would have to say.
func (g Guard) Check(p Plan, others ...Plan) error {
	var errs []error
	for _, name := range p.Touches.Targets {
		errs = append(errs, g.Targets.Allows(name, p.Fault))
	}
	if p.For > g.Limits.Longest {
		errs = append(errs, fmt.Errorf("it is for %s; limits.longest allows %s", p.For, g.Limits.Longest))
	}
	desktops, hosts, chosen := map[string]bool{}, map[string]bool{}, 0
	for _, p := range append(slices.Clone(others), p) {
		for _, id := range p.Touches.Desktops {
			desktops[id] = true
		}
		for _, host := range p.Touches.Hosts {
			hosts[host] = true
		}
		chosen += p.Touches.Chosen
	}
	if n := len(desktops) + chosen; n > g.Limits.Desktops && p.Touches.desktops() > 0 {
		errs = append(errs, fmt.Errorf("it hits %d desktops%s; limits.desktops allows %d", p.Touches.desktops(),
			together(n, p.Touches.desktops()), g.Limits.Desktops))
	}
	if n := len(hosts); n > g.Limits.Hosts && len(p.Touches.Hosts) > 0 {
		errs = append(errs, fmt.Errorf("it hits %d hosts%s; limits.hosts allows %d", len(p.Touches.Hosts),
			together(n, len(p.Touches.Hosts)), g.Limits.Hosts))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("the fault %s is not allowed: %w", p.Fault, err)
	}
	return nil
}

func (t Touches) desktops() int { return len(t.Desktops) + t.Chosen }

func together(all, own int) string {
	if all == own {
		return ""
	}
	return fmt.Sprintf(", %d with what the run has injected already", all)
}
