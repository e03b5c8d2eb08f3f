package vdi

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/spice/screen"
)

// office is a broker with simulated desktops, handed out in turns. Its settings
// are changed before its first login.
type office struct {
	*httptest.Server
	farm     *screen.Farm
	desktops int // 0: one

	ticket      string
	firstTicket string        // with the login, to be replaced; empty: the desktops'
	expires     time.Duration // of the login's ticket; 0: never
	lease       time.Duration
	port        int // of the consoles; 0: the desktops'
	took        time.Duration
	slow        time.Duration // the answer's delay
	deaf        bool          // it does not hear its clients hang up
	problem     func(user string) (class, step string)
	noLogouts   bool
	hangs       bool // no logout is answered

	mu       sync.Mutex
	asked    chan struct{} // gets one for each login that has arrived
	open     map[string]bool
	made     int
	logins   []map[string]any
	renewals int
	consoles int
	flaky    int  // so many renewals fail
	lost     bool // sessions are not found any more
	leaving  int  // logouts under way, and the most at once
	most     int
}

func newOffice(t *testing.T, set func(*office)) *office {
	o := &office{ticket: "secret", open: map[string]bool{}, asked: make(chan struct{}, 10000)}
	if set != nil {
		set(o)
	}
	var err error
	o.farm, err = screen.NewFarm(max(1, o.desktops), screen.Config{Ticket: o.ticket})
	require.NoError(t, err)
	t.Cleanup(o.farm.Close)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/sessions", o.login)
	mux.HandleFunc("DELETE /v1/sessions/{id}", o.logout)
	mux.HandleFunc("POST /v1/sessions/{id}/renew", o.renew)
	mux.HandleFunc("POST /v1/sessions/{id}/console", o.console)
	o.Server = httptest.NewServer(mux)
	t.Cleanup(o.Close)
	return o
}

func answer(w http.ResponseWriter, status int, body any) {
	media := "application/json"
	if status >= 400 {
		media = "application/problem+json"
	}
	w.Header().Set("Content-Type", media)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // else nobody is there any more
}

func fail(w http.ResponseWriter, class, step string) {
	answer(w, 503, map[string]any{"title": "it failed", "detail": "as it was told", "class": class, "step": step, "request_id": "r-17"})
}

func (o *office) login(w http.ResponseWriter, r *http.Request) {
	var l map[string]any
	if err := json.NewDecoder(r.Body).Decode(&l); err != nil {
		fail(w, "bad-request", "")
		return
	}
	o.asked <- struct{}{}
	if o.slow > 0 {
		gone := r.Context().Done()
		if o.deaf {
			gone = nil
		}
		select {
		case <-time.After(o.slow):
		case <-gone:
			return
		}
	}
	if o.problem != nil {
		if class, step := o.problem(fmt.Sprint(l["user"])); class != "" {
			fail(w, class, step)
			return
		}
	}
	ticket := o.ticket
	if o.firstTicket != "" {
		ticket = o.firstTicket
	}
	o.mu.Lock()
	o.made++
	made := o.made
	id := fmt.Sprintf("session-%d", made)
	o.open[id] = true
	o.logins = append(o.logins, l)
	o.mu.Unlock()
	c := map[string]any{"host": "127.0.0.1", "port": o.portOf(made), "ticket": ticket}
	if o.expires != 0 {
		c["expires_at"] = time.Now().Add(o.expires)
	}
	s := map[string]any{"id": id, "console": c, "request_id": "r-1", "elapsed_seconds": 3 * o.took.Seconds(),
		"desktop": map[string]any{"id": "d-1", "name": "desktop-1", "pool": "office", "allocator": "agents"},
		"steps":   []map[string]any{{"step": "auth", "seconds": o.took.Seconds()}, {"step": "console", "seconds": o.took.Seconds()}}}
	if o.lease > 0 {
		s["lease_seconds"] = o.lease.Seconds()
	}
	answer(w, 201, s)
}

// portOf is that of a session's desktop.
func (o *office) portOf(session int) int {
	if o.port != 0 {
		return o.port
	}
	all := o.farm.Desktops()
	return all[(session-1)%len(all)].Addr().(*net.TCPAddr).Port
}

func (o *office) logout(w http.ResponseWriter, r *http.Request) {
	if o.hangs {
		o.mu.Lock()
		o.leaving++
		o.most = max(o.most, o.leaving)
		o.mu.Unlock()
		<-r.Context().Done()
		o.mu.Lock()
		o.leaving--
		o.mu.Unlock()
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.noLogouts {
		fail(w, "broker-failed", "")
		return
	}
	delete(o.open, r.PathValue("id"))
	w.WriteHeader(204)
}

func (o *office) renew(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.lost || !o.open[r.PathValue("id")] {
		fail(w, "session-not-found", "")
		return
	}
	if o.flaky > 0 {
		o.flaky--
		fail(w, "broker-failed", "")
		return
	}
	o.renewals++
	w.WriteHeader(204)
}

func (o *office) console(w http.ResponseWriter, _ *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.lost {
		fail(w, "session-not-found", "")
		return
	}
	o.consoles++
	answer(w, 200, map[string]any{"elapsed_seconds": 0, "request_id": "r-2",
		"console": map[string]any{"host": "127.0.0.1", "port": o.portOf(1), "ticket": o.ticket, "expires_at": time.Now().Add(time.Hour)}})
}

// counts are the sessions made and those still open.
func (o *office) counts() (made, open int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.made, len(o.open)
}

// requireEmpty asserts that so many sessions were made, and none is left.
func (o *office) requireEmpty(t *testing.T, made int) {
	t.Helper()
	m, open := o.counts()
	require.Equal(t, made, m, "sessions made")
	require.Zero(t, open, "sessions left")
}

// in gives a bench's scripts the office: `tc(options)` makes a thin client.
func (o *office) in(t *testing.T, b *bench) {
	require.NoError(t, b.VU.Runtime().Set("broker", o.URL))
	_, err := b.VU.Runtime().RunString(`globalThis.tc = (options) => new vdi.ThinClient(
		{broker, user: 'anna', password: 'geheim', site: 'north', ...options})`)
	require.NoError(t, err)
}

func newLoginBench(t *testing.T, set func(*office)) (*bench, *office) {
	b, o := newBench(t, screen.Config{}), newOffice(t, set)
	o.in(t, b)
	return b, o
}

// keysOf are the sums of a metric, without its name.
func keysOf(sums map[string]float64, metric string) map[string]float64 {
	found := map[string]float64{}
	for key, v := range sums {
		if name, tags, _ := strings.Cut(key, " "); name == metric {
			found[tags] = v
		}
	}
	return found
}
