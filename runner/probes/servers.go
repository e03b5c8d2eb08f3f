package probes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/runner/native"
)

const active = "ACTIVE"

func (p *prober) servers() []native.Function {
	which := []native.Parameter{
		{Name: "tag", Type: native.Text, Doc: "only servers with this tag; absent: all"},
		{Name: "name", Type: native.Text, Doc: "only servers whose names begin so; absent: all"},
		{Name: "own", Type: native.Boolean, Doc: "only those that this run made; absent: no"},
		{Name: "all_projects", Type: native.Boolean, Doc: "those of other projects too, for administrators; absent: no"},
	}
	with := func(more ...native.Parameter) []native.Parameter {
		return append(which[:len(which):len(which)], more...)
	}
	return []native.Function{{
		Name: "cloud.desktops", Kind: native.Probe,
		Doc:        "Counts desktops: total, by status (status.ACTIVE), by host and status, and by the class of fault.",
		Parameters: which, Run: p.desktops,
	}, {
		Name: "desktops.active", Kind: native.Probe,
		Doc:        "How many desktops are ACTIVE.",
		Parameters: which, Run: p.active,
	}, {
		Name: "desktops.wait", Kind: native.Probe,
		Doc: "Waits until desktops are ACTIVE, or usable: how many are, and after how long. That they are not in time is an error.",
		Parameters: with(
			native.Parameter{Name: "count", Type: native.Integer, Doc: "how many; absent: all that there are when it begins"},
			native.Parameter{Name: "port", Type: native.Integer, Doc: "usable is that this TCP port answers; absent: ACTIVE is enough"},
			native.Parameter{Name: "for", Type: native.Duration, Doc: "how long at most; absent: 10m"},
		),
		Run: p.wait,
	}, {
		Name: "desktops.ports", Kind: native.Probe,
		Doc: "Asks Neutron for the ports of desktops that Nova calls ACTIVE: ok is that all of them are ACTIVE too; dead are desktops without.",
		Parameters: with(
			native.Parameter{Name: "host", Type: native.Text, Doc: "only on this host, which administrators are shown; absent: on all"},
		),
		Run: p.ports,
	}, {
		Name: "desktops.create", Kind: native.Action,
		Doc: "Makes desktops as the configuration has them, tagged with the run, and does not wait for them.",
		Parameters: []native.Parameter{
			{Name: "count", Type: native.Integer, Required: true, Doc: "how many, at most the configuration's desktops.most in a run"},
			{Name: "flavor", Type: native.Text, Doc: "in place of the configuration's"},
			{Name: "image", Type: native.Text, Doc: "in place of the configuration's"},
			{Name: "zone", Type: native.Text, Doc: "availability zone, in place of the configuration's"},
		},
		Run: p.create, Plan: p.planCreate,
	}, {
		Name: "desktops.delete", Kind: native.Action,
		Doc:        "Removes the desktops that this run made, and waits until they are gone.",
		Parameters: []native.Parameter{{Name: "for", Type: native.Duration, Doc: "how long at most; absent: 5m"}},
		Run:        p.remove, Plan: p.planRemove,
	}}
}

// list is the servers that the arguments name.
func (p *prober) list(ctx context.Context, function string, a native.Arguments) ([]cloud.Server, error) {
	c, err := p.connect(ctx, function, patient)
	if err != nil {
		return nil, err
	}
	filter := cloud.Filter{AllProjects: a.Boolean("all_projects", false)}
	if a.Has("tag") {
		filter.Tags = append(filter.Tags, a.Text("tag", ""))
	}
	if a.Boolean("own", false) {
		filter.Tags = append(filter.Tags, p.runTag())
	}
	all, err := c.Servers(ctx, filter)
	if err != nil {
		return nil, err
	}
	var found []cloud.Server
	for _, s := range all {
		if strings.HasPrefix(s.Name, a.Text("name", "")) {
			found = append(found, s)
		}
	}
	return found, nil
}

// runTag is what all has that this run made.
func (p *prober) runTag() string { return cloud.RunTag + "=" + p.Run }

// desktopCounts is how many desktops are how.
type desktopCounts struct {
	Total  int                       `json:"total"`
	Status map[string]int            `json:"status"`
	Hosts  map[string]map[string]int `json:"hosts"` // by host and status; administrators only
	Faults map[cloud.FaultClass]int  `json:"faults"`
}

func counted(all []cloud.Server) desktopCounts {
	n := desktopCounts{
		Total: len(all), Status: map[string]int{active: 0}, Hosts: map[string]map[string]int{}, Faults: map[cloud.FaultClass]int{},
	}
	for _, s := range all {
		n.Status[s.Status]++
		if s.Host != "" {
			if n.Hosts[s.Host] == nil {
				n.Hosts[s.Host] = map[string]int{}
			}
			n.Hosts[s.Host][s.Status]++
		}
		if s.Fault != "" {
			n.Faults[cloud.ClassifyFault(s.Fault)]++
		}
	}
	return n
}

func (p *prober) desktops(ctx context.Context, a native.Arguments) (any, error) {
	all, err := p.list(ctx, "cloud.desktops", a)
	if err != nil {
		return nil, err
	}
	return counted(all), nil
}

func (p *prober) active(ctx context.Context, a native.Arguments) (any, error) {
	all, err := p.list(ctx, "desktops.active", a)
	if err != nil {
		return nil, err
	}
	return counted(all).Status[active], nil
}

const (
	waitEvery   = 2 * time.Second
	dialTimeout = time.Second
	dialAtOnce  = 64
)

// waited is how long desktops were waited for.
type waited struct {
	Count   int            `json:"count"`
	Seconds float64        `json:"seconds"`
	Status  map[string]int `json:"status"`
}

func (p *prober) wait(ctx context.Context, a native.Arguments) (any, error) {
	port := a.Integer("port", 0)
	if port < 0 || port > 65535 {
		return nil, native.Wrong("port", "expected 1 to 65535")
	}
	limit := a.Duration("for", 10*time.Minute)
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	begin := time.Now()
	wanted := a.Integer("count", -1)
	usable := map[string]bool{} // those that once were
	for {
		all, err := p.list(bounded, "desktops.wait", a)
		if err != nil && bounded.Err() == nil {
			return nil, err
		}
		if err == nil {
			if wanted < 0 {
				wanted = len(all)
			}
			n := counted(all)
			ready := n.Status[active]
			if port > 0 {
				ready = reach(bounded, all, port, usable)
			}
			if ready >= wanted {
				return waited{Count: ready, Seconds: time.Since(begin).Seconds(), Status: n.Status}, nil
			}
			if n.Total-n.Status["ERROR"] < wanted && n.Status["ERROR"] > 0 {
				why := ""
				if len(n.Faults) > 0 { // Nova does not say it of all
					why = fmt.Sprintf("; why, as Nova says: %v", n.Faults)
				}
				return nil, fmt.Errorf("waiting for %d desktops: %d in ERROR, which they do not leave by themselves%s", wanted, n.Status["ERROR"], why)
			}
			select {
			case <-time.After(waitEvery):
				continue
			case <-bounded.Done():
				if ctx.Err() == nil {
					return nil, fmt.Errorf("waiting for %d desktops: after %s there are %d, of %v", wanted, limit, ready, n.Status)
				}
			}
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("waiting for %d desktops: %w", wanted, context.Cause(ctx))
		}
		return nil, fmt.Errorf("waiting for %d desktops: the cloud did not answer within %s: %w", wanted, limit, err)
	}
}

// reach counts the active servers whose port has answered.
func reach(ctx context.Context, all []cloud.Server, port int, usable map[string]bool) int {
	var wg sync.WaitGroup
	var mutex sync.Mutex
	turn := make(chan struct{}, dialAtOnce)
	count := 0
	for _, s := range all {
		if s.Status != active {
			delete(usable, s.ID)
			continue
		}
		mutex.Lock()
		known := usable[s.ID]
		if known {
			count++
		}
		mutex.Unlock()
		if known || len(s.Addresses) == 0 {
			continue
		}
		wg.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			dialer := net.Dialer{Timeout: dialTimeout}
			conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(s.Addresses[0].IP, strconv.Itoa(port)))
			if err != nil {
				return
			}
			conn.Close()
			mutex.Lock()
			defer mutex.Unlock()
			usable[s.ID] = true
			count++
		})
	}
	wg.Wait()
	return count
}

// Resource is something that a run makes in a cloud.
type Resource struct {
	Kind string `json:"kind"` // "server"
	Name string `json:"name"`
	ID   string `json:"id,omitempty"` // empty: it may be made, or not; its name and its run's tag find it
	Run  string `json:"run"`
}

// Ledger is where resources are written down before they are made, so that whatever becomes of this program they are found and removed.
type Ledger interface {
	// Making writes down, synced, that a resource is about to be made. Without it the resource is not made.
	Making(ctx context.Context, r Resource) error
	// Made adds its ID.
	Made(ctx context.Context, r Resource) error
	// Gone is that it is not there any more, or was never made.
	Gone(ctx context.Context, r Resource) error
}

const serverKind = "server"

// makersAtOnce is how many servers are asked for at a time.
const makersAtOnce = 8

// made is what desktops.create made.
type made struct {
	Count   int      `json:"count"`
	Servers []string `json:"servers"` // IDs
	Tag     string   `json:"tag"`
}

// spec is what desktops.create is to make, and how many.
func (p *prober) spec(a native.Arguments) (d Desktops, count int, err error) {
	if p.Config.Desktops == nil {
		return d, 0, missing("desktops.create", desktopsSection)
	}
	if p.Run == "" {
		return d, 0, errors.New("desktops.create needs a run to tag them with")
	}
	d = *p.Config.Desktops
	d.Flavor, d.Image, d.Zone = a.Text("flavor", d.Flavor), a.Text("image", d.Image), a.Text("zone", d.Zone)
	count = a.Integer("count", 0)
	if count < 1 || count > d.Most {
		return d, 0, native.Wrong("count", "expected 1 to %d, the configuration's desktops.most", d.Most)
	}
	return d, count, nil
}

func (p *prober) planCreate(_ context.Context, a native.Arguments) (any, error) {
	d, count, err := p.spec(a)
	if err != nil {
		return nil, err
	}
	return map[string]any{"makes": count, "flavor": d.Flavor, "image": d.Image, "networks": d.Networks, "tag": p.runTag()}, nil
}

// making is what keeps two desktops.create of a run apart, which together must not make more than one may.
type making struct {
	mutex sync.Mutex
	names int // that were given; none is given twice, because the ledger goes by them
}

func (p *prober) create(ctx context.Context, a native.Arguments) (any, error) {
	d, count, err := p.spec(a)
	if err != nil {
		return nil, err
	}
	if p.Ledger == nil {
		return nil, errors.New("desktops.create needs a ledger to write down what it makes")
	}
	c, err := p.connect(ctx, "desktops.create", patient)
	if err != nil {
		return nil, err
	}
	spec, err := d.resolve(ctx, c)
	if err != nil {
		return nil, err
	}
	p.making.mutex.Lock()
	defer p.making.mutex.Unlock()
	own, err := p.own(ctx, c)
	if err != nil {
		return nil, err
	}
	if len(own)+count > d.Most {
		return nil, native.Wrong("count", "this run has made %d; with %d more they would be more than the configuration's "+
			"desktops.most, %d", len(own), count, d.Most)
	}
	first := p.making.names
	p.making.names += count
	servers, err := p.makeServers(ctx, c, spec, d.Prefix, first, count)
	if err != nil {
		// Half of what was asked for is of no use to the experiment.
		cleaning, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		return nil, errors.Join(err, p.removeSince(cleaning, c, own))
	}
	result := made{Count: len(servers), Servers: []string{}, Tag: p.runTag()}
	for _, s := range servers {
		result.Servers = append(result.Servers, s.ID)
	}
	return result, nil
}

// own is the servers that this run has made.
func (p *prober) own(ctx context.Context, c *cloud.Cloud) ([]cloud.Server, error) {
	if p.Run == "" {
		return nil, errors.New("without a run nothing is its own")
	}
	return c.Servers(ctx, cloud.Filter{Tags: []string{p.runTag()}})
}

// resolve finds what the names mean.
func (d Desktops) resolve(ctx context.Context, c *cloud.Cloud) (spec cloud.ServerSpec, err error) {
	spec.AvailabilityZone = d.Zone
	if spec.FlavorID, err = c.Flavor(ctx, d.Flavor); err != nil {
		return spec, err
	}
	if spec.ImageID, err = c.Image(ctx, d.Image); err != nil {
		return spec, err
	}
	for _, name := range d.Networks {
		id, err := c.Network(ctx, name)
		if err != nil {
			return spec, err
		}
		spec.Networks = append(spec.Networks, id)
	}
	return spec, nil
}

// makeServers asks for servers, some at a time, and returns those that there are, also with an error.
func (p *prober) makeServers(ctx context.Context, c *cloud.Cloud, spec cloud.ServerSpec, prefix string, first, count int) (
	[]cloud.Server, error,
) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var (
		wg      sync.WaitGroup
		mutex   sync.Mutex
		servers []cloud.Server
		errs    []error
	)
	names := make(chan string, count)
	for i := range count {
		names <- fmt.Sprintf("%s-%s-%04d", prefix, p.Run, first+i+1)
	}
	close(names)
	for range min(makersAtOnce, count) {
		wg.Go(func() {
			for name := range names {
				if ctx.Err() != nil {
					return
				}
				s, err := p.makeServer(ctx, c, spec, name)
				mutex.Lock()
				if s.ID != "" {
					servers = append(servers, s)
				}
				if err != nil {
					errs = append(errs, err)
					stop() // the others would fail too, or be removed again
				}
				mutex.Unlock()
			}
		})
	}
	wg.Wait()
	if len(errs) == 0 && len(servers) < count {
		errs = append(errs, fmt.Errorf("making desktops: %w", context.Cause(ctx)))
	}
	return servers, errors.Join(errs...)
}

func (p *prober) makeServer(ctx context.Context, c *cloud.Cloud, spec cloud.ServerSpec, name string) (cloud.Server, error) {
	resource := Resource{Kind: serverKind, Name: name, Run: p.Run}
	if err := p.Ledger.Making(ctx, resource); err != nil {
		return cloud.Server{}, fmt.Errorf("writing down that the desktop %s is made: %w", name, err)
	}
	spec.Name = name
	s, err := c.CreateServer(ctx, spec)
	if err != nil {
		return cloud.Server{}, err // there may be one all the same: the ledger has its name
	}
	resource.ID = s.ID
	if err := p.Ledger.Made(context.WithoutCancel(ctx), resource); err != nil {
		return s, fmt.Errorf("writing down that the desktop %s was made: %w", name, err)
	}
	return s, nil
}

func (p *prober) planRemove(ctx context.Context, _ native.Arguments) (any, error) {
	c, err := p.connect(ctx, "desktops.delete", patient)
	if err != nil {
		return nil, err
	}
	own, err := p.own(ctx, c)
	return map[string]any{"removes": len(own), "tag": p.runTag()}, err
}

func (p *prober) remove(ctx context.Context, a native.Arguments) (any, error) {
	c, err := p.connect(ctx, "desktops.delete", patient)
	if err != nil {
		return nil, err
	}
	own, err := p.own(ctx, c)
	if err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, a.Duration("for", 5*time.Minute))
	defer cancel()
	if err := p.removeServers(bounded, c, own); err != nil {
		return nil, err
	}
	return map[string]any{"removed": len(own)}, nil
}

// removeSince removes the run's servers that were not there before: also those whose making was not answered.
func (p *prober) removeSince(ctx context.Context, c *cloud.Cloud, before []cloud.Server) error {
	own, err := p.own(ctx, c)
	if err != nil {
		return err
	}
	return p.removeServers(ctx, c, slices.DeleteFunc(own, func(s cloud.Server) bool {
		return slices.ContainsFunc(before, func(b cloud.Server) bool { return b.ID == s.ID })
	}))
}

// removeServers removes servers, some at a time, and waits until they are gone.
func (p *prober) removeServers(ctx context.Context, c *cloud.Cloud, servers []cloud.Server) error {
	errs := make([]error, len(servers))
	var wg sync.WaitGroup
	turn := make(chan struct{}, makersAtOnce)
	for i, s := range servers {
		turn <- struct{}{}
		wg.Go(func() {
			defer func() { <-turn }()
			errs[i] = p.removeServer(ctx, c, s)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (p *prober) removeServer(ctx context.Context, c *cloud.Cloud, s cloud.Server) error {
	if err := c.DeleteServer(ctx, s.ID); err != nil {
		return err
	}
	if err := awaitGone(ctx, c, s); err != nil {
		return err
	}
	if p.Ledger == nil {
		return nil
	}
	return p.Ledger.Gone(ctx, Resource{Kind: serverKind, Name: s.Name, ID: s.ID, Run: p.Run})
}

func awaitGone(ctx context.Context, c *cloud.Cloud, s cloud.Server) error {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, waitEvery) {
		_, err := c.Server(ctx, s.ID)
		if errors.Is(err, cloud.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("waiting until the desktop %s is gone: %w", s.Name, context.Cause(ctx))
		}
	}
}
