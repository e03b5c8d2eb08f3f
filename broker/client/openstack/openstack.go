// Package openstack is the driver for desktop clouds without a broker: the thin client asks Keystone and Nova itself.
//
// Such clouds patched Nova so that it knew seats. What the patch did inside Nova is done here from outside, with the rights
// of a service account: find the server whose metadata names the seat, else take an idle one. The user's own part, a
// password that Keystone checks against LDAP and a token that Nova accepts, is the user's.
//
// Servers take part by their metadata: deskstorm_desktop is "idle" or "taken", deskstorm_seat the seat whose desktop it is.
// An idle one that was taken has a tag as well, and deskstorm_session says by which session: that one gives it back. A thin
// client that lost its power never does; the next login at its seat takes the desktop over, and gives it back for both.
package openstack

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/fnv"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/broker/client/console"
	"github.com/deskstorm/deskstorm/cloud"
)

// How servers are marked.
const (
	DesktopKey = "deskstorm_desktop" // metadata, Idle or Taken
	SeatKey    = "deskstorm_seat"    // metadata
	SessionKey = "deskstorm_session" // metadata, of an idle one that was taken
	Idle       = "idle"
	Taken      = "taken"
	takenTag   = "deskstorm-taken"
)

const (
	defaultBootTimeout = 5 * time.Minute
	bootPoll           = 500 * time.Millisecond
	markTimeout        = 10 * time.Second // of all marks of a server
)

// Config says which cloud.
type Config struct {
	Cloud       cloud.Config // with the credentials of the service account, an administrator
	Domain      string       // the users' in Keystone; empty: the service account's
	Consoles    func(service *cloud.Cloud) console.Finder
	BootTimeout time.Duration // for a desktop that was shut down; 0: 5 minutes
}

// Driver is the way through Keystone and Nova.
type Driver struct {
	config   Config
	service  *cloud.Cloud
	consoles console.Finder

	// marks are held while a server's marks are read and changed, one for many servers: Nova has no operation that does
	// both. Two drivers, of two processes, may still meet in a logout and the next login at a seat.
	marks [64]sync.Mutex

	mu     sync.Mutex
	halves map[string]time.Time // since when servers have been seen idle and yet tagged
}

// lock takes a server's marks.
func (d *Driver) lock(serverID string) (unlock func()) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(serverID)) // never fails
	m := &d.marks[h.Sum32()%uint32(len(d.marks))]
	m.Lock()
	return m.Unlock
}

var _ client.Driver = (*Driver)(nil)

// New logs the service account in.
func New(ctx context.Context, config Config) (*Driver, error) {
	service, err := cloud.Connect(ctx, config.Cloud)
	if err != nil {
		return nil, fmt.Errorf("logging in the service account: %w", err)
	}
	if config.BootTimeout == 0 {
		config.BootTimeout = defaultBootTimeout
	}
	return &Driver{config: config, service: service, consoles: config.Consoles(service), halves: map[string]time.Time{}}, nil
}

// Close does nothing: connections end by themselves.
func (d *Driver) Close() error { return nil }

// Renew does nothing: there are no leases.
func (d *Driver) Renew(context.Context, *client.Session) error { return nil }

// assignment is what a session remembers.
type assignment struct {
	server  cloud.Server
	session string // of an idle one, to be given back: what SessionKey says; empty: it is the seat's for good
	before  string // the session whose desktop it was; empty: nobody's
}

// Login takes a user to the seat's desktop, or to an idle one.
func (d *Driver) Login(ctx context.Context, l client.Login) (*client.Session, error) {
	w := &watch{}
	s, err := d.login(ctx, l, w)
	steps := w.stop()
	if err != nil {
		err = classify(ctx, err, w.step)
		var e *client.Error
		if errors.As(err, &e) {
			e.Steps = steps
		}
		return nil, err
	}
	s.Steps = steps
	return s, nil
}

func (d *Driver) login(ctx context.Context, l client.Login, w *watch) (*client.Session, error) {
	w.begin(client.StepAuth)
	user, err := cloud.Connect(ctx, d.config.Cloud.As(l.User, l.Password, d.config.Domain))
	if err != nil {
		return nil, err
	}
	w.begin(client.StepMatch)
	own, found, err := d.seat(ctx, l.Seat)
	if err != nil {
		return nil, err
	}
	a := assignment{server: own}
	if !found {
		w.begin(client.StepAllocate)
		a, err = d.take(ctx, l.Seat)
	} else if slices.Contains(own.Tags, takenTag) {
		w.begin(client.StepAllocate)
		if a, err = d.takeOver(ctx, own, l.Seat); errors.Is(err, errTaken) {
			a, err = d.take(ctx, l.Seat)
		}
	}
	if err != nil {
		return nil, err
	}
	at, err := d.open(ctx, user, a.server, w)
	if err != nil {
		d.giveBack(ctx, a)
		return nil, err
	}
	return &client.Session{ID: a.server.ID, Console: at, Credential: a,
		Desktop: client.Desktop{ID: a.server.ID, Name: a.server.Name}}, nil
}

// seat finds the seat's own desktop.
func (d *Driver) seat(ctx context.Context, seat string) (cloud.Server, bool, error) {
	if seat == "" {
		return cloud.Server{}, false, nil
	}
	all, err := d.service.Servers(ctx, cloud.Filter{AllProjects: true, Metadata: map[string]string{SeatKey: seat}})
	if err != nil || len(all) == 0 {
		return cloud.Server{}, false, err
	}
	return all[0], true, nil
}

// take takes an idle desktop. Nova has no operation that only one of two can win but adding a tag: who adds it first is
// told so. The desktops are tried in a random order, so that many logins at once seldom meet.
func (d *Driver) take(ctx context.Context, seat string) (assignment, error) {
	idle, err := d.service.Servers(ctx, cloud.Filter{AllProjects: true, Metadata: map[string]string{DesktopKey: Idle}})
	if err != nil {
		return assignment{}, err
	}
	for _, i := range mathrand.Perm(len(idle)) {
		s := idle[i]
		if s.Status != "ACTIVE" && s.Status != "SHUTOFF" {
			continue
		}
		if slices.Contains(s.Tags, takenTag) && !d.abandoned(ctx, s) {
			continue
		}
		a, err := d.mark(ctx, s, seat)
		switch {
		case errors.Is(err, errTaken), errors.Is(err, cloud.ErrNotFound):
			continue
		case err == nil && ctx.Err() != nil:
			d.giveBack(ctx, a)
			return a, ctx.Err()
		}
		return a, err
	}
	return assignment{}, &client.Error{Class: client.PoolEmpty, Message: fmt.Sprintf("no idle desktop is left that could be taken; Nova lists %d", len(idle))}
}

var errTaken = errors.New("another login was faster")

// abandoned frees a desktop that was tagged and not marked any further: a login that was killed in between, or whose
// question reached Nova and whose answer did not come back, leaves it so.
func (d *Driver) abandoned(ctx context.Context, s cloud.Server) bool {
	d.mu.Lock()
	since, ok := d.halves[s.ID]
	if !ok {
		d.halves[s.ID] = time.Now()
	}
	d.mu.Unlock()
	if !ok || time.Since(since) < 2*markTimeout {
		return false
	}
	defer d.lock(s.ID)()
	now, err := d.service.Server(ctx, s.ID)
	if err != nil || now.Metadata[DesktopKey] != Idle {
		return false
	}
	d.mu.Lock()
	delete(d.halves, s.ID)
	d.mu.Unlock()
	return d.service.UntagServer(ctx, s.ID, takenTag) == nil
}

// mark marks a desktop as this login's. It does not end with ctx: what was asked for half-way, nobody would know to undo.
func (d *Driver) mark(ctx context.Context, s cloud.Server, seat string) (assignment, error) {
	defer d.lock(s.ID)()
	marking, cancel := context.WithTimeout(context.WithoutCancel(ctx), markTimeout)
	defer cancel()
	first, err := d.service.TagServer(marking, s.ID, takenTag)
	switch {
	case err != nil:
		return assignment{}, err
	case !first:
		return assignment{}, errTaken
	}
	a := assignment{server: s, session: rand.Text()}
	err = d.service.SetServerMetadata(marking, s.ID, map[string]string{DesktopKey: Taken, SeatKey: seat, SessionKey: a.session})
	if err != nil {
		d.undo(ctx, a)
		return assignment{}, err
	}
	return a, nil
}

// takeOver makes an idle desktop that an earlier login at the seat took this login's. That login's logout may be giving it
// back at this moment, and another login taking it: then the answer is errTaken.
func (d *Driver) takeOver(ctx context.Context, s cloud.Server, seat string) (assignment, error) {
	defer d.lock(s.ID)()
	marking, cancel := context.WithTimeout(context.WithoutCancel(ctx), markTimeout)
	defer cancel()
	first, err := d.service.TagServer(marking, s.ID, takenTag)
	if err != nil {
		return assignment{}, err
	}
	a := assignment{server: s, session: rand.Text()}
	if !first {
		now, err := d.service.Server(marking, s.ID)
		if err != nil {
			return assignment{}, err
		}
		if now.Metadata[SeatKey] != seat {
			return assignment{}, errTaken
		}
		a.before = now.Metadata[SessionKey]
	}
	err = d.service.SetServerMetadata(marking, s.ID, map[string]string{DesktopKey: Taken, SeatKey: seat, SessionKey: a.session})
	if err != nil {
		d.undo(ctx, a)
		return assignment{}, err
	}
	return a, nil
}

// open starts the desktop if it was shut down, and finds its console. That the user may see the server is asked with the
// user's own token.
func (d *Driver) open(ctx context.Context, user *cloud.Cloud, s cloud.Server, w *watch) (client.Console, error) {
	w.begin(client.StepBoot)
	host := s.Host // Nova tells administrators only
	s, err := user.Server(ctx, s.ID)
	s.Host = host
	switch {
	case errors.Is(err, cloud.ErrNotFound):
		return client.Console{}, &client.Error{Class: client.DesktopDied, Message: "the server is gone, or of a project that is not the user's", Err: err}
	case errors.Is(err, cloud.ErrUnauthorized):
		return client.Console{}, &client.Error{Class: client.TokenExpired, Message: "Nova does not take the user's token", Err: err}
	case err != nil:
		return client.Console{}, err
	case s.Status == "SHUTOFF":
		if err := d.start(ctx, s.ID); err != nil {
			return client.Console{}, err
		}
	case s.Status != "ACTIVE":
		return client.Console{}, &client.Error{Class: client.DesktopDied, Message: "the server is " + s.Status + ": " + s.Fault}
	}
	w.begin(client.StepConsole)
	return d.console(ctx, s)
}

func (d *Driver) console(ctx context.Context, s cloud.Server) (client.Console, error) {
	at, err := d.consoles.Find(ctx, console.Desktop{ServerID: s.ID, Name: s.Name, Host: s.Host})
	var fromCloud *cloud.Error
	switch {
	case errors.Is(err, console.ErrNotRunning):
		return at, d.notRunning(ctx, s, err)
	case err == nil, ctx.Err() != nil, errors.Is(err, cloud.ErrUnauthorized), errors.As(err, &fromCloud) && fromCloud.Status >= 500:
		return at, err
	}
	return at, &client.Error{Class: client.ConsoleRefused, Message: err.Error(), Err: err}
}

// notRunning tells a desktop that died since it was chosen from one that runs, whatever Nova says of its console.
func (d *Driver) notRunning(ctx context.Context, s cloud.Server, refusal error) error {
	now, err := d.service.Server(ctx, s.ID)
	switch {
	case errors.Is(err, cloud.ErrNotFound):
		return &client.Error{Class: client.DesktopDied, Message: "the server is gone", Err: err}
	case err != nil:
		return err
	case now.Status != "ACTIVE":
		return &client.Error{Class: client.DesktopDied, Message: "the server is " + now.Status + " now: " + refusal.Error(), Err: refusal}
	}
	return &client.Error{Class: client.ConsoleRefused, Message: refusal.Error(), Err: refusal}
}

// start starts a desktop and waits until Nova says that it runs.
func (d *Driver) start(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, d.config.BootTimeout,
		&client.Error{Class: client.BuildTimeout, Message: fmt.Sprintf("the desktop did not start within %v", d.config.BootTimeout)})
	defer cancel()
	if err := d.service.StartServer(ctx, id); err != nil && !errors.Is(err, cloud.ErrConflict) {
		if ctx.Err() != nil {
			return notStarted(ctx)
		}
		return err
	}
	for {
		s, err := d.service.Server(ctx, id)
		switch {
		case errors.Is(err, cloud.ErrNotFound):
			return &client.Error{Class: client.DesktopDied, Message: "the server is gone since it was started", Err: err}
		case errors.Is(err, cloud.ErrUnauthorized):
			return err
		case err == nil && s.Status == "ACTIVE":
			return nil
		case err == nil && s.Status == "ERROR":
			return &client.Error{Class: client.DesktopDied, Message: "the server is in error: " + s.Fault}
		}
		select {
		case <-time.After(bootPoll):
		case <-ctx.Done():
			return notStarted(ctx)
		}
	}
}

// notStarted says why the wait for a desktop ended, whosever time was over.
func notStarted(ctx context.Context) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, context.DeadlineExceeded) {
		return &client.Error{Class: client.BuildTimeout, Message: "the desktop did not start in the time that the login had", Err: cause}
	}
	return cause
}

// Console asks again where the desktop is.
func (d *Driver) Console(ctx context.Context, s *client.Session) (client.Console, error) {
	a, ok := s.Credential.(assignment)
	if !ok {
		return client.Console{}, &client.Error{Class: client.SessionNotFound, Message: "it is not one of this driver's"}
	}
	at, err := d.console(ctx, a.server)
	if err != nil {
		return at, classify(ctx, err, client.StepConsole)
	}
	return at, nil
}

// Logout gives an idle desktop back. A seat's own stays the seat's.
func (d *Driver) Logout(ctx context.Context, s *client.Session) error {
	a, ok := s.Credential.(assignment)
	if !ok || a.session == "" {
		return nil
	}
	if err := d.logout(ctx, a); err != nil {
		return classify(ctx, err, "")
	}
	return nil
}

// logout gives a desktop back, unless it is another session's now.
func (d *Driver) logout(ctx context.Context, a assignment) error {
	defer d.lock(a.server.ID)()
	mine, err := d.isOf(ctx, a)
	if err != nil || !mine {
		return err
	}
	return d.release(ctx, a.server.ID)
}

// isOf says whether a desktop is still that of the session.
func (d *Driver) isOf(ctx context.Context, a assignment) (bool, error) {
	s, err := d.service.Server(ctx, a.server.ID)
	if errors.Is(err, cloud.ErrNotFound) {
		return false, nil
	}
	return err == nil && s.Metadata[SessionKey] == a.session, err
}

// giveBack releases what a failed login took, or leaves it to the session that had it before.
func (d *Driver) giveBack(ctx context.Context, a assignment) {
	if a.session == "" {
		return
	}
	defer d.lock(a.server.ID)()
	checking, cancel := context.WithTimeout(context.WithoutCancel(ctx), markTimeout)
	defer cancel()
	if mine, err := d.isOf(checking, a); err == nil && !mine {
		return
	}
	d.undo(ctx, a)
}

// undo takes a session's marks off, of which the lock is held.
func (d *Driver) undo(ctx context.Context, a assignment) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), markTimeout)
	defer cancel()
	if a.before != "" {
		// If this fails, the seat's next login finds the desktop.
		_ = d.service.SetServerMetadata(ctx, a.server.ID, map[string]string{SessionKey: a.before})
		return
	}
	// One that cannot be given back stays the seat's, whose next login finds it.
	_ = d.release(ctx, a.server.ID)
}

// release makes a desktop idle. The tag goes last: until then nobody else can take it.
func (d *Driver) release(ctx context.Context, id string) error {
	err := d.service.SetServerMetadata(ctx, id, map[string]string{DesktopKey: Idle, SeatKey: "", SessionKey: ""})
	if errors.Is(err, cloud.ErrNotFound) {
		return nil // the server is gone
	}
	if err != nil {
		return err
	}
	return d.service.UntagServer(ctx, id, takenTag)
}

// classify finds an error's class. A caller who gave up gets context.Canceled: that is nobody's failure.
func classify(ctx context.Context, err error, step client.Step) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("logging in or out: %w", context.Canceled)
	}
	var known *client.Error
	if errors.As(err, &known) {
		e := *known
		if e.Step == "" {
			e.Step = step
		}
		return &e
	}
	e := &client.Error{Class: client.CloudFailed, Step: step, Message: err.Error(), Err: err}
	var fromCloud *cloud.Error
	if errors.As(err, &fromCloud) && fromCloud.RequestID != "" {
		e.RequestID = fromCloud.RequestID
		e.Message = strings.Replace(e.Message, " (request "+e.RequestID+")", "", 1) // it is told apart
	}
	switch {
	case step == client.StepAuth && errors.Is(err, cloud.ErrUnauthorized):
		e.Class = client.WrongPassword
		e.Message = "wrong user name or password, or the account is locked: Keystone does not tell which"
	case step == client.StepAuth && errors.Is(err, context.DeadlineExceeded):
		e.Class, e.Message = client.DirectorySlow, "Keystone, or the directory behind it, did not answer in time"
	case step == client.StepAuth:
		e.Class = client.DirectoryDown
	case errors.Is(err, cloud.ErrUnauthorized):
		e.Class = client.TokenExpired
	}
	return e
}

// watch measures the steps of a login, which follow each other.
type watch struct {
	steps []client.Timing
	step  client.Step
	since time.Time
}

func (w *watch) begin(step client.Step) {
	w.stop()
	w.step, w.since = step, time.Now()
}

func (w *watch) stop() []client.Timing {
	if !w.since.IsZero() {
		w.steps = append(w.steps, client.Timing{Step: w.step, Took: time.Since(w.since)})
		w.since = time.Time{}
	}
	return w.steps
}
