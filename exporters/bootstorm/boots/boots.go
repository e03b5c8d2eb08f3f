// Package boots keeps the account of desktops that boot: which are under way and what each waits for, how long each step took,
// what failed, and which builds the cloud accepted and nobody began - the message to the compute node was lost.
//
// It learns from sightings, wherever they come from: Nova's notifications, Nova's lists, lease files, a knock at the desktop's
// door. Sightings may come twice, late and in any order.
package boots

import (
	"cmp"
	"sync"
	"time"

	"github.com/deskstorm/deskstorm/cloud"
)

// Kind is why a desktop boots.
type Kind string

// The kinds of boots.
const (
	Create  Kind = "create"
	Start   Kind = "start" // of one that was off
	Reboot  Kind = "reboot"
	Rebuild Kind = "rebuild"
)

// Kinds are all of them.
func Kinds() []Kind { return []Kind{Create, Start, Reboot, Rebuild} }

// Step is a part of a boot, named after what it waits for.
type Step string

// The steps, in their order. Begun ends when a compute node begins; before it the boot waits for the scheduler and the message
// queue. Which of the last two there are depends on what the exporter can see.
const (
	Begun  Step = "begun"
	Active Step = "active"
	Leased Step = "leased"
	Usable Step = "usable"
)

// Steps are the steps in their order.
func Steps() []Step { return []Step{Begun, Active, Leased, Usable} }

// Total is all steps together: from the acceptance to the end of the last step.
const Total Step = "total"

// Sighting is what was seen of a boot.
type Sighting struct {
	Server string // Nova's ID
	Kind   Kind   // empty: of the boot under way
	// What is what happened; empty: nothing new, and the rest is noted.
	What What
	At   time.Time // by the clock of who saw it
	Host string    // where it boots; empty: not known
	// MACs and Address are the desktop's, where known; the lease and the knock need them.
	MACs    []string
	Address string
	Fault   string // a class of cloud.FaultClasses, of one that HasStumbled or HasFailed; empty: not known
}

// What is what happened to a boot.
type What string

// What may happen.
const (
	WasAccepted What = "accepted"
	HasBegun    What = "begun"
	IsActive    What = "active"
	IsLeased    What = "leased"
	IsUsable    What = "usable"
	HasStumbled What = "stumbled" // on one host; Nova may try another
	HasFailed   What = "failed"
	IsGone      What = "gone" // deleted
)

// Config is what an account is kept of.
type Config struct {
	Leases bool // there are sightings of leases
	Usable bool // there are sightings of usable desktops
	// LostAfter is how long an accepted boot may wait for a compute node until it counts as lost.
	LostAfter time.Duration
	// GiveUpAfter is how long a boot may take in all; it then counts as failed, of the class Timeout.
	GiveUpAfter time.Duration
	Observer    Observer
}

// Result is how a boot ended.
type Result string

// The results.
const (
	Completed Result = "completed" // the last step that there are sightings of
	Failed    Result = "failed"
	Deleted   Result = "deleted" // before it was completed
)

// Results are all of them.
func Results() []Result { return []Result{Completed, Failed, Deleted} }

// Timeout is the class of failure of a boot that was given up, beside those of sightings.
const Timeout = "timeout"

// Observer is told what is worth a metric.
type Observer interface {
	Accepted(Kind)
	// Took is called for each step once it ends, and for Total at the end of a boot.
	Took(Kind, Step, time.Duration)
	Ended(Kind, Result)
	Failed(kind Kind, class string)
	Lost(Kind)
}

// maxBoots bounds the memory: some 200 B each.
const maxBoots = 100_000

// Account is the boots under way. Its methods may be called by many goroutines at once.
type Account struct {
	config Config
	last   Step // that there are sightings of

	mu    sync.Mutex
	boots map[string]*boot // by server
	// ended are boots of late, so that a late sighting does not begin them again.
	ended map[string]time.Time
}

// boot is one under way.
type boot struct {
	kind     Kind
	host     string
	accepted time.Time
	reached  map[Step]time.Time
	macs     []string
	address  string
	fault    string // of the last host that it stumbled on
	lost     bool
	seen     time.Time // by our own clock, for GiveUpAfter
}

// New opens an account.
func New(c Config) *Account {
	a := &Account{config: c, last: Active, boots: map[string]*boot{}, ended: map[string]time.Time{}}
	if c.Leases {
		a.last = Leased
	}
	if c.Usable {
		a.last = Usable
	}
	return a
}

// See takes a sighting; now is the account's own clock.
func (a *Account) See(s Sighting, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.boots[s.Server]
	if b == nil {
		if b = a.begin(s, now); b == nil {
			return
		}
	}
	a.note(s, b)
	switch s.What {
	case WasAccepted:
		if s.At.Before(b.accepted) {
			b.accepted = s.At
		}
	case HasStumbled:
		b.fault = s.Fault
	case HasFailed:
		a.config.Observer.Failed(b.kind, cmp.Or(s.Fault, b.fault, string(cloud.FaultOther)))
		a.end(s.Server, b, Failed, s.At)
	case IsGone:
		a.end(s.Server, b, Deleted, s.At)
	case HasBegun:
		a.reach(b, Begun, s.At)
	case IsActive:
		a.reach(b, Active, s.At)
	case IsLeased:
		// A lease of before is that of the desktop's earlier life. Leases are seen again and again, so that none is missed.
		// Lease files have whole seconds.
		if _, active := b.reached[Active]; active && !s.At.Before(b.accepted.Truncate(time.Second)) {
			a.reach(b, Leased, s.At)
		}
	case IsUsable:
		a.reach(b, Usable, s.At)
	}
	a.finish(s.Server, b)
}

// begin opens a boot for a sighting that may begin one. What happens to a server that was never seen to boot begins one too,
// if its kind is told: the acceptance was missed. It returns nil if there is none to begin.
func (a *Account) begin(s Sighting, now time.Time) *boot {
	if s.Kind == "" || s.What == IsGone || s.What == IsLeased || s.What == IsUsable || len(a.boots) >= maxBoots {
		return nil
	}
	if end, late := a.ended[s.Server]; late && !s.At.After(end) {
		return nil
	}
	b := &boot{kind: s.Kind, accepted: s.At, reached: map[Step]time.Time{}, seen: now}
	a.boots[s.Server] = b
	a.config.Observer.Accepted(b.kind)
	return b
}

// note keeps what a sighting tells besides.
func (a *Account) note(s Sighting, b *boot) {
	if s.Host != "" {
		b.host = s.Host
	}
	if s.Address != "" {
		b.address = s.Address
	}
	if len(s.MACs) > 0 {
		b.macs = s.MACs
	}
}

// reach notes that a step ended. It is told at once, as a boot may never come to its end.
func (a *Account) reach(b *boot, step Step, at time.Time) {
	if _, known := b.reached[step]; known {
		return
	}
	from := b.accepted
	for _, s := range Steps() {
		if s == step {
			break
		}
		if t, known := b.reached[s]; known {
			from = t
		}
	}
	b.reached[step] = at
	if step == Begun || step == Active {
		b.lost = false
	}
	a.config.Observer.Took(b.kind, step, max(0, at.Sub(from)))
}

// finish ends a boot that has come as far as can be seen.
func (a *Account) finish(server string, b *boot) {
	_, done := b.reached[a.last]
	if a.boots[server] != b || !done {
		return
	}
	// The last step's own time may be before another's: a desktop may have its lease before Nova calls it ACTIVE, and lease files
	// have whole seconds.
	var at time.Time
	for _, t := range b.reached {
		if t.After(at) {
			at = t
		}
	}
	a.config.Observer.Took(b.kind, Total, max(0, at.Sub(b.accepted)))
	a.end(server, b, Completed, at)
}

func (a *Account) end(server string, b *boot, result Result, at time.Time) {
	a.config.Observer.Ended(b.kind, result)
	delete(a.boots, server)
	if last := b.reached[Active]; last.After(at) {
		at = last
	}
	a.ended[server] = at
}

// Tick does what time alone does: it finds lost boots, gives up old ones and forgets those that ended long ago.
func (a *Account) Tick(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for server, b := range a.boots {
		_, begun := b.reached[Begun]
		_, active := b.reached[Active]
		if !begun && !active && !b.lost && now.Sub(b.seen) > a.config.LostAfter {
			b.lost = true
			a.config.Observer.Lost(b.kind)
		}
		if now.Sub(b.seen) > a.config.GiveUpAfter {
			a.config.Observer.Failed(b.kind, Timeout)
			a.end(server, b, Failed, now)
		}
	}
	for server, end := range a.ended {
		if now.Sub(end) > a.config.GiveUpAfter {
			delete(a.ended, server)
		}
	}
}
