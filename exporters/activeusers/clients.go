package activeusers

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/deskstorm/deskstorm/internal/activity"
)

// client is what is known of one.
type client struct {
	place place
	own   bool // it stands in the inventory by its own name

	// Of this run and the one before, which may still have reports under way.
	run, before window

	heard     time.Time // when the last report came
	to        time.Time // end of the newest report
	input     time.Time // the last input
	connected bool
	left      bool // switched off, said the last report

	version     string
	boot        time.Time
	temperature *float64
	diskFree    *float64
}

// window tells which sequence numbers of a run were counted. Reports may come out of order within it.
type window struct {
	run  string
	high uint64
	seen uint64 // bit i: high - i
}

// take says whether the number is new. One that is too far behind to tell counts as seen.
func (w *window) take(n uint64) bool {
	if n > w.high {
		w.seen = w.seen<<(n-w.high) | 1 // a shift by 64 and more is 0
		w.high = n
		return true
	}
	bit := uint64(1) << (w.high - n)
	if bit == 0 || w.seen&bit != 0 {
		return false
	}
	w.seen |= bit
	return true
}

// take says whether a report is new.
func (c *client) take(run string, n uint64) bool {
	switch run {
	case c.run.run:
		return c.run.take(n)
	case c.before.run:
		return c.before.take(n)
	}
	c.before, c.run = c.run, window{run: run}
	return c.run.take(n)
}

// clients are all that are tracked, and what they did. All methods may be called at once.
type clients struct {
	places *places
	config Config

	inventory atomic.Pointer[inventory] // nil: there is none

	mu      sync.Mutex
	by      map[string]*client
	used    []bool   // places that had a client, ever
	events  []uint64 // by place
	errors  []uint64 // of display clients, by site
	dropped []uint64 // reports that agents lost, by site
	results map[activity.Result]uint64
}

func newClients(p *places, c Config) *clients {
	return &clients{
		places: p, config: c, by: map[string]*client{},
		used: make([]bool, p.count()), events: make([]uint64, p.count()),
		errors: make([]uint64, len(p.sites)), dropped: make([]uint64, len(p.sites)),
		results: map[activity.Result]uint64{},
	}
}

// setInventory moves the clients that are tracked to where the new inventory has them.
func (cs *clients) setInventory(inv *inventory) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.inventory.Store(inv)
	for name, c := range cs.by {
		at, own, ok := inv.find(name)
		if !ok {
			delete(cs.by, name)
			continue
		}
		c.place, c.own = at, own
		cs.used[at] = true
	}
	for _, at := range inv.clients {
		cs.used[at] = true
	}
}

// locate returns where a client is, by the inventory or by its own word.
func (cs *clients) locate(r *activity.Report) (at place, own, ok bool) {
	if inv := cs.inventory.Load(); inv != nil {
		return inv.find(r.Client)
	}
	return cs.places.at(r.Site, r.Department), false, true
}

// inventorySite is where the inventory has a client: empty, if it has it not. There need not be an inventory.
func (cs *clients) inventorySite(client string) (site string, ok bool) {
	inv := cs.inventory.Load()
	if inv == nil {
		return "", false
	}
	if at, _, ok := inv.find(client); ok {
		site = cs.places.sites[cs.places.siteOf(at)]
	}
	return site, true
}

// take counts a valid report, whose token is good.
func (cs *clients) take(r *activity.Report, now time.Time) activity.Result {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	result := cs.judge(r, now)
	cs.results[result]++
	return result
}

func (cs *clients) judge(r *activity.Report, now time.Time) activity.Result {
	at, own, ok := cs.locate(r)
	switch {
	case !ok:
		return activity.Unknown
	case r.To.After(now.Add(cs.config.Future)):
		return activity.Future
	case r.To.Before(now.Add(-cs.config.Late)):
		return activity.Late
	}
	c, ok := cs.by[r.Client]
	if !ok {
		if len(cs.by) >= cs.config.MaxClients {
			return activity.Full
		}
		c = &client{}
		cs.by[r.Client] = c
	}
	if !c.take(r.Run, r.Sequence) {
		return activity.Duplicate
	}
	c.place, c.own = at, own
	cs.used[at] = true
	c.heard = now
	cs.events[at] += r.Events
	cs.addState(c, r)
	input := r.LastInput
	if input.IsZero() && r.Events > 0 {
		input = r.To
	}
	if input.After(c.input) {
		c.input = input
		if c.input.After(now) {
			c.input = now
		}
	}
	if !r.To.Before(c.to) {
		c.to = r.To
		c.connected = r.Connected == nil || *r.Connected
		c.left = r.Leaving
	}
	return activity.Accepted
}

func (cs *clients) addState(c *client, r *activity.Report) {
	if r.State == nil {
		return
	}
	site := cs.places.siteOf(c.place)
	cs.errors[site] += r.State.DisplayErrors
	cs.dropped[site] += r.State.Dropped
	if !r.To.Before(c.to) {
		c.version, c.boot, c.temperature, c.diskFree = r.State.Version, r.State.Boot, r.State.Temperature, r.State.DiskFree
	}
}

// refuse counts reports that did not come as far as take.
func (cs *clients) refuse(result activity.Result) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.results[result]++
}

// forgetAfter is when a client that does not stand in the inventory by name is forgotten: it is another's now, or gone.
const forgetAfter = 7 * 24 * time.Hour

func (cs *clients) forget(now time.Time) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	maps.DeleteFunc(cs.by, func(_ string, c *client) bool { return !c.own && now.Sub(c.heard) > forgetAfter })
}

// silence is for how long clients have not reported.
type silence struct {
	label string
	of    time.Duration
}

func silences() []silence {
	return []silence{{"1m", time.Minute}, {"5m", 5 * time.Minute}, {"1h", time.Hour}, {"1d", 24 * time.Hour}}
}

// recently is how long after its boot a client counts as booted: many at once had a power cut.
const recently = 10 * time.Minute

// count is what clients do at a place.
type count struct {
	used                       bool // it had a client, ever
	tracked, connected, active int
	unseen                     int   // in the inventory, and never heard
	silent                     []int // as silences
	events                     uint64
}

// condition is how a site's clients are.
type condition struct {
	booted          int
	hottest         *float64
	fullest         *float64
	reported        bool
	errors, dropped uint64
}

// snapshot is all that clients say at one moment.
type snapshot struct {
	places   []count
	sites    []condition
	versions map[string]int
	results  map[activity.Result]uint64
}

func (cs *clients) snapshot(now time.Time) snapshot {
	s := snapshot{
		places: make([]count, cs.places.count()), sites: make([]condition, len(cs.places.sites)), versions: map[string]int{},
	}
	steps := silences()
	silent := make([]int, len(steps)*len(s.places))
	for i := range s.places {
		s.places[i].silent = silent[i*len(steps) : (i+1)*len(steps)]
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	s.results = maps.Clone(cs.results)
	for i := range s.places {
		s.places[i].used, s.places[i].events = cs.used[i], cs.events[i]
	}
	for i := range s.sites {
		s.sites[i].errors, s.sites[i].dropped = cs.errors[i], cs.dropped[i]
	}
	if inv := cs.inventory.Load(); inv != nil {
		for _, at := range inv.clients {
			s.places[at].unseen++
		}
	}
	for _, c := range cs.by {
		n := &s.places[c.place]
		n.tracked++
		if c.own {
			n.unseen--
		}
		quiet := now.Sub(c.heard)
		if !c.left {
			for i, step := range steps {
				if quiet > step.of {
					n.silent[i]++
				}
			}
		}
		if quiet > cs.config.SilentAfter || c.left {
			continue
		}
		if c.connected {
			n.connected++
			if now.Sub(c.input) <= cs.config.ActiveWithin {
				n.active++
			}
		}
		s.versions[c.version]++
		s.sites[cs.places.siteOf(c.place)].add(c, now)
	}
	return s
}

func (d *condition) add(c *client, now time.Time) {
	d.reported = true
	if !c.boot.IsZero() && now.Sub(c.boot).Abs() < recently { // a boot long after now is a wrong clock's
		d.booted++
	}
	if c.temperature != nil && (d.hottest == nil || *c.temperature > *d.hottest) {
		d.hottest = c.temperature
	}
	if c.diskFree != nil && (d.fullest == nil || *c.diskFree < *d.fullest) {
		d.fullest = c.diskFree
	}
}

// maxVersions are told apart; a fleet that is being updated has two.
const maxVersions = 10

// topVersions are the most frequent; the rest is Other, and clients that did not say are "unknown".
func topVersions(all map[string]int) map[string]int {
	names := slices.SortedFunc(maps.Keys(all), func(a, b string) int {
		return cmp.Or(cmp.Compare(all[b], all[a]), cmp.Compare(a, b))
	})
	top := map[string]int{}
	for i, name := range names {
		label := cmp.Or(name, "unknown")
		if i >= maxVersions {
			label = Other
		}
		top[label] += all[name]
	}
	return top
}
