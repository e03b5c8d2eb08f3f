package probes

import (
	"context"
	"slices"

	"github.com/deskstorm/deskstorm/runner/native"
)

// portState is how the ports of desktops that run stand.
type portState struct {
	OK     bool           `json:"ok"` // there are some, and all are ACTIVE
	Total  int            `json:"total"`
	Status map[string]int `json:"status"`
	Dead   []string       `json:"dead"` // desktops with one that is not ACTIVE, by name, sorted
}

// ports finds desktops that Nova calls ACTIVE and Neutron knows to be without network. Ports of others are DOWN by right.
func (p *prober) ports(ctx context.Context, a native.Arguments) (any, error) {
	servers, err := p.list(ctx, "desktops.ports", a)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, s := range servers {
		if s.Status == active {
			names[s.ID] = s.Name
		}
	}
	c, err := p.connect(ctx, "desktops.ports", patient)
	if err != nil {
		return nil, err
	}
	all, err := c.Ports(ctx, a.Text("host", ""))
	if err != nil {
		return nil, err
	}
	found := portState{Status: map[string]int{}, Dead: []string{}}
	for _, port := range all {
		name, ok := names[port.ServerID]
		if !ok {
			continue
		}
		found.Total++
		found.Status[port.Status]++
		if port.Status != active {
			found.Dead = append(found.Dead, name)
		}
	}
	found.OK = found.Total > 0 && len(found.Dead) == 0
	slices.Sort(found.Dead)
	found.Dead = slices.Compact(found.Dead)
	return found, nil
}
