package probes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/runner/native"
)

func (p *prober) cloud() []native.Function {
	return []native.Function{{
		Name: "cloud.health", Kind: native.Probe,
		Doc: "Asks Nova for its services and Neutron for its agents: ok, and which are down. Administrators only.",
		Run: p.cloudHealth,
	}, {
		Name: "cloud.canary", Kind: native.Probe,
		Doc: "Asks OpenStack's services something cheap, without trying again: ok, and how long each took (services.nova.list.took_ms).",
		Parameters: []native.Parameter{{Name: "services", Type: native.List, Doc: "of keystone, nova, placement, glance, neutron; absent: all that " +
			"the cloud has"}},
		Run: p.cloudCanary,
	}}
}

// connect returns the cloud. A patient one tries again while the cloud is in trouble; another is to see what others see; and one that
// only logs in does not ask the compute service, which may be what is being looked at.
func (p *prober) connect(ctx context.Context, function string, kind func(*lazyClouds) **cloud.Lazy) (*cloud.Cloud, error) {
	p.clouds.mutex.Lock()
	lazy := kind(&p.clouds)
	if *lazy == nil {
		made, err := p.newCloud(function, lazy == &p.clouds.patient)
		if err != nil {
			p.clouds.mutex.Unlock()
			return nil, configurationError{err}
		}
		*lazy = made
	}
	p.clouds.mutex.Unlock()
	return (*lazy).Cloud(ctx)
}

// configurationError is that nobody was asked: the configuration does not say whom, or its files cannot be read.
type configurationError struct{ error }

func (e configurationError) Unwrap() error { return e.error }

func (p *prober) newCloud(function string, patient bool) (*cloud.Lazy, error) {
	if p.Config.Cloud == nil {
		return nil, missing(function, cloudSection)
	}
	config, err := cloud.LoadFile(p.Config.Cloud.File, p.Config.Cloud.Name)
	if err != nil {
		return nil, err
	}
	config.Owner, config.Run = p.Config.Cloud.Owner, p.Run
	if patient {
		return cloud.NewLazy(config, cloud.Connect), nil
	}
	config.RetryFor = -1
	return cloud.NewLazy(config, cloud.Login), nil
}

func patient(l *lazyClouds) **cloud.Lazy   { return &l.patient }
func impatient(l *lazyClouds) **cloud.Lazy { return &l.impatient }

// cloudState is how the cloud's services stand.
type cloudState struct {
	OK       bool     `json:"ok"` // nothing that is enabled is down
	Services int      `json:"services"`
	Down     []string `json:"down"` // nova-compute on node17
	Disabled []string `json:"disabled"`
	Agents   int      `json:"agents"`
	Dead     []string `json:"dead"` // Open vSwitch agent on node17
}

func (p *prober) cloudHealth(ctx context.Context, _ native.Arguments) (any, error) {
	c, err := p.connect(ctx, "cloud.health", patient)
	if err != nil {
		return nil, err
	}
	services, err := c.ComputeServices(ctx)
	if err != nil {
		return nil, err
	}
	s := cloudState{Services: len(services), Down: []string{}, Disabled: []string{}, Dead: []string{}}
	for _, one := range services {
		switch name := one.Binary + " on " + one.Host; {
		case one.Status == "disabled":
			s.Disabled = append(s.Disabled, name)
		case one.State != "up" || one.ForcedDown:
			s.Down = append(s.Down, name)
		}
	}
	agents, err := c.Agents(ctx)
	if err != nil && !errors.Is(err, cloud.ErrNotOffered) {
		return nil, err
	}
	s.Agents = len(agents)
	for _, one := range agents {
		if one.AdminUp && !one.Alive {
			s.Dead = append(s.Dead, one.Type+" on "+one.Host)
		}
	}
	slices.Sort(s.Down)
	slices.Sort(s.Disabled)
	slices.Sort(s.Dead)
	s.OK = len(s.Down) == 0 && len(s.Dead) == 0
	return s, nil
}

// answers is what the services' canaries found.
type answers struct {
	OK       bool                         `json:"ok"`
	Services map[string]map[string]answer `json:"services"` // by the service and the question: version, list, token
}

type answer struct {
	OK    bool    `json:"ok"`
	Took  float64 `json:"took_ms"`
	Error string  `json:"error,omitempty"`
}

func (p *prober) cloudCanary(ctx context.Context, a native.Arguments) (any, error) {
	wanted := a.Texts("services")
	for _, s := range wanted {
		if !slices.Contains(cloud.CanaryServices(), s) {
			return nil, native.Wrong("services", "there is no canary for %q; there are those for %v", s, cloud.CanaryServices())
		}
	}
	found := answers{OK: true, Services: map[string]map[string]answer{}}
	ask := func(service, question string, f func(context.Context) error) error {
		begin := time.Now()
		err := f(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("asking %s: %w", service, context.Cause(ctx))
		}
		one := answer{OK: err == nil, Took: milliseconds(time.Since(begin))}
		if err != nil {
			one.Error, found.OK = err.Error(), false
		}
		if found.Services[service] == nil {
			found.Services[service] = map[string]answer{}
		}
		found.Services[service][question] = one
		return nil
	}
	c, err := p.connect(ctx, "cloud.canary", impatient)
	if errors.As(err, new(configurationError)) {
		return nil, err
	}
	if err != nil {
		// Nobody is let in: that is what Keystone's canary is there to find.
		return found, ask("keystone", "token", func(context.Context) error { return err })
	}
	for _, service := range cloud.CanaryServices() {
		if wanted != nil && !slices.Contains(wanted, service) {
			continue
		}
		questions, err := c.Canaries(service)
		if errors.Is(err, cloud.ErrNotOffered) && wanted == nil {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, q := range questions {
			if err := ask(service, q.Operation, q.Ask); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}
