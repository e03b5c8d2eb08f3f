// Package control is the switches of a simulated desktop cloud, and a look at its state, over HTTP. What breaks a cloud on purpose
// (experiments), and what watches one (exporters, people), speaks to it as to any foreign system, so that it need not know that
// this cloud is simulated.
//
//	POST   /v1/faults       {"type": "host.down", "host": "compute02", "duration": "30s"}: 201, its address in Location
//	GET    /v1/faults       those that there are, the latest 100 that ended included
//	GET    /v1/faults/{id}
//	DELETE /v1/faults/{id}  undoes it and answers 204 when that is done; once more does nothing
//	DELETE /v1/faults       undoes all
//	GET    /v1/types        what can be injected, and with which parameters
//	GET    /v1/state        how the cloud stands, see State
//	GET    /                the same as a page, for people
//
// Requests are read strictly: what is not known is refused, with what is. Errors are problems (RFC 9457). A fault has the id that
// the request gave it, so that who injects it can write down how to undo it before, or a random one; ids are never used twice.
//
// A fault with a duration ends by itself, as measured by this machine's clock, not the lab's: its time counts from the request, also
// while it is being injected, and what cannot be undone is tried again until it can. Two faults never hold the same thing, such as
// the same desktop's lease, so that the end of one does not end the other: the second is refused with 409. Those that fail requests
// (api, service.down, console.refuse, compute.lost) add up instead.
//
// Close forgets all faults and undoes none: they are in the cloud, which ends with them. It is a package beside lab/sim because it
// also switches the directory, which lab/sim does not have.
package control

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/lab/sim/directory"
)

// Config is what is controlled.
type Config struct {
	Sim       *sim.Lab
	Directory *directory.Server         // nil: there is none, and the faults ldap.* are refused
	Site      func(s sim.Server) string // where the desktop's seat is; nil or "": nowhere
	Seed      uint64                    // of what faults choose
	// Patience is how long the undo of a fault waits for desktops to boot: 30 s if 0. They go on then, and the next undo waits on.
	Patience time.Duration
}

// defaultPatience is shorter than most clients' is for an answer.
const defaultPatience = 30 * time.Second

// Control is an http.Handler. Its methods may be called by many goroutines at once.
type Control struct {
	config  Config
	handler http.Handler
	rates   *rates
	types   []kind
	ctx     context.Context // until Close
	stop    context.CancelFunc

	mu     sync.Mutex
	random *mathrand.Rand
	closed bool
	faults []*active         // in the order of their beginning; ended ones too, at most keepEnded
	ids    map[string]bool   // all that were ever used
	held   map[string]string // what is held, and by which fault
}

// keepEnded is how many faults that ended are still shown.
const keepEnded = 100

// retry is how long after a failed undo of a fault whose time is over the next one is tried.
const retry = time.Second

// active is a fault that was injected.
type active struct {
	id, kind string
	targets  []string // while it is injected
	began    time.Time
	until    time.Time // zero: until it is undone
	timer    *time.Timer

	ending sync.Mutex // held while it is injected and undone
	undo   []func() error

	// Control.mu guards these.
	parameters json.RawMessage
	shown      []string // its targets
	ended      time.Time
	failed     string // why the latest attempt to undo it failed
}

// New makes a Control, which Close ends.
func New(c Config) *Control {
	c.Patience = cmp.Or(c.Patience, defaultPatience)
	control := &Control{
		config: c, random: mathrand.New(mathrand.NewPCG(c.Seed, 3)), types: kinds(), ids: map[string]bool{}, held: map[string]string{},
	}
	control.ctx, control.stop = context.WithCancel(context.Background())
	control.handler = control.routes()
	control.rates = watchRates(c.Sim.Requests)
	return control
}

func (c *Control) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.handler.ServeHTTP(w, r) }

// Close ends all that happens by itself, and waits for what is just injected or undone.
func (c *Control) Close() {
	c.mu.Lock()
	c.closed = true
	faults := slices.Clone(c.faults)
	c.mu.Unlock()
	c.stop()
	c.rates.close()
	for _, a := range faults {
		a.ending.Lock()
		if a.timer != nil {
			a.timer.Stop()
		}
		a.ending.Unlock()
	}
}

// errClosed is answered while the lab ends.
var errClosed = &refusal{http.StatusServiceUnavailable, "closed", "The lab is ending."}

// inject begins a fault.
func (c *Control) inject(o *order) (*active, error) {
	a := &active{id: o.ID, kind: o.kind.name, began: time.Now()}
	if o.Duration > 0 {
		a.until = a.began.Add(time.Duration(o.Duration))
	}
	if err := c.show(a, o.fault); err != nil {
		return nil, err
	}
	a.ending.Lock()
	defer a.ending.Unlock()
	if err := c.register(a); err != nil {
		return nil, err
	}
	at := &attempt{Config: c.config, control: c, fault: a}
	if err := o.fault.inject(at); err != nil {
		if left := a.revoke(); left != nil {
			err = fmt.Errorf("%w; what was begun could not be undone: %w", err, left)
		}
		c.unregister(a)
		return nil, err
	}
	if err := c.show(a, o.fault); err != nil {
		return nil, err
	}
	if !a.until.IsZero() {
		a.timer = time.AfterFunc(time.Until(a.until), func() { c.expire(a) })
	}
	return a, nil
}

func (c *Control) register(a *active) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errClosed
	}
	if a.id == "" {
		a.id = strings.ToLower(rand.Text()[:10]) // 50 bits
	}
	if c.ids[a.id] {
		return &refusal{http.StatusConflict, "conflict", fmt.Sprintf("There is, or was, a fault %q.", a.id)}
	}
	c.ids[a.id] = true
	c.faults = append(c.faults, a)
	return nil
}

// show sets what the API shows of a fault's parameters, which have defaults when it is injected, and of its targets.
func (c *Control) show(a *active, f fault) error {
	text, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("writing the parameters: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a.parameters, a.shown = text, a.targets
	return nil
}

// unregister makes as if a fault had never been asked for; its id can be used.
func (c *Control) unregister(a *active) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.release(a)
	delete(c.ids, a.id)
	c.faults = slices.DeleteFunc(c.faults, func(o *active) bool { return o == a })
}

// release is called with the lock held.
func (c *Control) release(a *active) {
	for key, by := range c.held {
		if by == a.id {
			delete(c.held, key)
		}
	}
}

// revoke undoes what was done, the last first, and keeps what could not be undone for the next time. It is called with ending held.
func (a *active) revoke() error {
	var failed []func() error
	var errs []error
	for _, undo := range slices.Backward(a.undo) {
		if err := undo(); err != nil {
			errs, failed = append(errs, err), append(failed, undo)
		}
	}
	slices.Reverse(failed)
	a.undo = failed
	return errors.Join(errs...)
}

// end undoes a fault, and returns when that is done. One that has ended is fine.
func (c *Control) end(a *active) error {
	a.ending.Lock()
	defer a.ending.Unlock()
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if closed {
		return errClosed
	}
	err := a.revoke()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		a.failed = err.Error()
		return fmt.Errorf("undoing the fault %s, %s: %w", a.id, a.kind, err)
	}
	if !a.ended.IsZero() {
		return nil
	}
	a.ended, a.failed = time.Now(), ""
	if a.timer != nil {
		a.timer.Stop()
	}
	c.release(a)
	c.forget()
	return nil
}

// forget drops the oldest faults of those that ended. It is called with the lock held.
func (c *Control) forget() {
	ended := 0
	for _, a := range c.faults {
		if !a.ended.IsZero() {
			ended++
		}
	}
	c.faults = slices.DeleteFunc(c.faults, func(a *active) bool {
		drop := ended > keepEnded && !a.ended.IsZero()
		if drop {
			ended--
		}
		return drop
	})
}

func (c *Control) expire(a *active) {
	if err := c.end(a); err != nil && !errors.Is(err, errClosed) {
		a.ending.Lock()
		defer a.ending.Unlock()
		a.timer.Reset(retry)
	}
}

// all are the faults, oldest first.
func (c *Control) all() []*active {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.faults)
}
