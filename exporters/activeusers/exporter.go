// Package activeusers tells whether the people who should be working are working. Thin clients report how much input they had,
// rosters say how many people are expected, and the gap between both is compared with earlier weeks.
package activeusers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/deskstorm/deskstorm/exporters/activeusers/baseline"
	"github.com/deskstorm/deskstorm/exporters/activeusers/roster"
	"github.com/deskstorm/deskstorm/exporters/collector"
	"github.com/deskstorm/deskstorm/internal/activity"
	"github.com/deskstorm/deskstorm/internal/configfile"
)

// How often things are done.
const (
	lookEvery = 10 * time.Second // at files; a changed one is read at the next look that finds it unchanged
	saveEvery = 10 * time.Minute // of the history

	// A timeline is made for this long ahead, and anew when less than half of it is left.
	ahead = 48 * time.Hour
)

// exporter is the exporter of active users.
type exporter struct {
	config  Config
	places  *places
	clients *clients
	log     *slog.Logger
	now     func() time.Time
	started time.Time

	// Only Run's.
	inventory *file // nil: there is none
	rosters   []*rosterFile
	history   *baseline.History // nil until it was read
	minute    time.Time         // that was last judged
	saved     time.Time

	mu       sync.Mutex // what follows is Run's to write and a scrape's to read
	timeline *roster.Timeline
	scores   map[place]score
	files    []fileState
	historyOK
}

// historyOK says whether the history could last be read and written.
type historyOK struct{ readWell, wroteWell bool }

// rosterFile is a roster's file and what it last held.
type rosterFile struct {
	file
	roster *roster.Roster // nil until it was read well
}

// fileState is what is told of a file.
type fileState struct {
	path    string
	broken  bool
	loaded  time.Time
	entries int
}

// score is how unusual a gap was at the last full minute.
type score struct {
	z     float64
	weeks int
}

// New makes the exporter. An inventory must be readable from the beginning: without it every client would be refused. A roster
// need not be. The log may be nil.
func New(c Config, log *slog.Logger) (collector.Exporter, error) {
	e, err := newExporter(c, log, time.Now)
	if err != nil {
		return collector.Exporter{}, fmt.Errorf("the exporter of active users: %w", err)
	}
	secrets, err := readSecrets(c.Secret, c.PreviousSecret)
	if err != nil {
		return collector.Exporter{}, fmt.Errorf("the exporter of active users: %w", err)
	}
	return e.exporter(secrets), nil
}

func (e *exporter) exporter(secrets []string) collector.Exporter {
	return collector.Exporter{
		Name: "activeusers", Families: Families(), Live: []prometheus.Collector{e}, Run: e.run,
		Handlers: map[string]http.Handler{"POST " + activity.Path: newIntake(e.clients, e.config.Sites, secrets, e.now)},
	}
}

// minSecret is the shortest secret, in bytes: tokens are found out by trying secrets.
const minSecret = 16

func readSecrets(all ...configfile.Secret) (secrets []string, err error) {
	for i, s := range all {
		if i > 0 && !s.Given() {
			continue
		}
		value, err := s.Read()
		if err != nil {
			return nil, err
		}
		if len(value) < minSecret {
			return nil, fmt.Errorf("the secret in %s is shorter than %d bytes; make one with: openssl rand -hex 32", s, minSecret)
		}
		secrets = append(secrets, value)
	}
	return secrets, nil
}

func newExporter(c Config, log *slog.Logger, now func() time.Time) (*exporter, error) {
	p, err := newPlaces(c.Sites, c.Departments)
	if err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	e := &exporter{
		config: c, places: p, clients: newClients(p, c), log: log, now: now, started: now(),
		historyOK: historyOK{readWell: true, wroteWell: true},
	}
	if c.Inventory != "" {
		e.inventory = &file{path: c.Inventory, read: func() error {
			inv, err := loadInventory(c.Inventory, p)
			if err == nil {
				e.clients.setInventory(inv)
			}
			return err
		}}
		e.inventory.refresh(e.started)
		if e.inventory.err != nil {
			return nil, e.inventory.err
		}
	}
	paths := map[string]bool{}
	for _, f := range c.Rosters {
		if paths[f.Path] {
			return nil, fmt.Errorf("the roster %s is there twice", f.Path)
		}
		paths[f.Path] = true
		r := &rosterFile{file: file{path: f.Path}}
		r.read = func() error {
			read, err := roster.Load(f, p.check)
			if err == nil {
				r.roster = read
			}
			return err
		}
		e.rosters = append(e.rosters, r)
	}
	return e, nil
}

// run looks at files and judges each minute, until the context ends.
func (e *exporter) run(ctx context.Context) error {
	e.step()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			e.save()
			return ctx.Err()
		case <-ticker.C:
			e.step()
		}
	}
}

// step does what is due.
func (e *exporter) step() {
	now := e.now()
	e.readHistory()
	e.refresh(now)
	if minute := now.Truncate(time.Minute); minute.After(e.minute) || minute.Before(e.minute.Add(-time.Minute)) {
		e.minute = minute
		e.judge(now)
		e.clients.forget(now)
	}
	if now.Sub(e.saved) >= saveEvery || now.Before(e.saved) {
		e.saved = now
		e.save()
	}
}

// refresh reads files that changed, and keeps the timeline ahead of the time.
func (e *exporter) refresh(now time.Time) {
	changed := e.inventory != nil && e.readFile("the inventory", e.inventory, now)
	stale := e.timeline == nil || now.Before(e.timeline.From) || now.After(e.timeline.To.Add(-ahead/2))
	for _, r := range e.rosters {
		if e.readFile("a roster", &r.file, now) {
			changed = true
			stale = stale || r.err == nil
		}
	}
	timeline := e.timeline // only this goroutine writes it
	if stale {
		var read []*roster.Roster
		for _, r := range e.rosters {
			if r.roster != nil {
				read = append(read, r.roster)
			}
		}
		timeline = roster.NewTimeline(now.Add(-time.Hour), now.Add(ahead), read...)
	}
	if !stale && !changed {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.timeline = timeline
	e.files = e.fileStates()
}

func (e *exporter) readFile(what string, f *file, now time.Time) bool {
	before := f.err
	if !f.refresh(now) {
		return false
	}
	switch {
	case f.err != nil:
		e.log.Error(what+" is broken; the last good one stays in use", "err", f.err)
	case before != nil:
		e.log.Info(what+" is good again", "file", f.path)
	}
	return true
}

func (e *exporter) fileStates() (states []fileState) {
	if f := e.inventory; f != nil {
		states = append(states, fileState{f.path, f.err != nil, f.loaded, len(e.clients.inventory.Load().clients)})
	}
	for _, r := range e.rosters {
		s := fileState{path: r.path, broken: r.err != nil, loaded: r.loaded}
		if r.roster != nil {
			s.entries = r.roster.Len()
		}
		states = append(states, s)
	}
	return states
}

// The smallest deviation that counts: this share of those expected, or so many people.
const (
	floorShare  = 0.02
	floorPeople = 2
)

// judge compares this minute's gaps with earlier weeks', and remembers them. Right after the start clients have not reported yet,
// and all would look away.
func (e *exporter) judge(now time.Time) {
	if since := now.Sub(e.started); since >= 0 && since < e.config.SilentAfter {
		return
	}
	counts := e.clients.snapshot(now).places
	scores := map[place]score{}
	for _, c := range e.timeline.Cells() {
		expected := float64(e.timeline.Expected(c, now))
		if expected <= 0 {
			continue
		}
		at := e.places.at(c.Site, c.Department)
		share := (expected - float64(counts[at].active)) / expected
		key := baseline.Key(c)
		there := now.In(e.places.zones[e.places.siteOf(at)])
		z, weeks := e.history.Score(key, there, share, max(floorShare, floorPeople/expected))
		scores[at] = score{z, weeks}
		e.history.Observe(key, there, share)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.scores = scores
}

// readHistory reads what an earlier run kept. A file that cannot be read is put aside, not overwritten.
func (e *exporter) readHistory() {
	if e.history != nil {
		return
	}
	e.saved = e.now()
	if e.config.History == "" {
		e.history = baseline.New(e.config.Weeks)
		return
	}
	h, err := baseline.Load(e.config.History, e.config.Weeks)
	if err != nil {
		aside := e.config.History + ".broken"
		e.log.Error("the history cannot be read; it is put aside, and alerts need some weeks again", "to", aside,
			"err", cmp.Or(errors.Join(err, os.Rename(e.config.History, aside)), err))
		h = baseline.New(e.config.Weeks)
		e.mu.Lock()
		e.readWell = false
		e.mu.Unlock()
	}
	e.history = h
}

func (e *exporter) save() {
	if e.config.History == "" || e.history == nil {
		return
	}
	err := e.history.Save(e.config.History)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil && e.wroteWell {
		e.log.Error("the history is lost when the exporter ends", "err", err)
	}
	e.wroteWell = err == nil
}
