package cloud_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/cloud"
)

const aServer = `{"server": {"id": "s1", "name": "desk-1", "status": "ACTIVE"}}`

func (o *openstack) serveServer() {
	o.mux.HandleFunc("GET /compute/v2.1/servers/{id}", answer(200, aServer))
}

func count(requests []string, prefix string) int {
	n := 0
	for _, r := range requests {
		if strings.HasPrefix(r, prefix) {
			n++
		}
	}
	return n
}

// The token expires under fifty callers. All of their first requests are refused before any is answered.
func TestRenewalIsShared(t *testing.T) {
	const callers = 50
	o := newOpenStack(t)
	o.serveServer()
	c := o.connect(t)
	o.expire()
	var refused sync.WaitGroup
	refused.Add(callers)
	inner := o.Config.Handler
	o.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Auth-Token") == tokens+"1" {
			refused.Done()
			refused.Wait()
		}
		inner.ServeHTTP(w, r)
	})
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			if _, err := c.Server(t.Context(), "s1"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	requests := o.asked()
	require.Equal(t, 1, count(requests, "POST /identity/v3/auth/tokens"))
	require.Equal(t, 2*callers, count(requests, "GET /compute/v2.1/servers/s1"))
}

// A body is sent again with the new token.
func TestRenewalRepeatsThePost(t *testing.T) {
	o := newOpenStack(t)
	var bodies []string
	o.mux.HandleFunc("POST /compute/v2.1/servers/s1/metadata", func(w http.ResponseWriter, r *http.Request) {
		var b strings.Builder
		_, _ = fmt.Fprint(&b, readAll(r))
		bodies = append(bodies, b.String())
		answer(200, `{"metadata": {}}`)(w, r)
	})
	c := o.connect(t)
	o.expire()
	require.NoError(t, c.SetServerMetadata(t.Context(), "s1", map[string]string{"seat": "N2-117"}))
	require.Equal(t, []string{`{"metadata":{"seat":"N2-117"}}`}, bodies)
	require.Len(t, o.asked(), 3)
}

func TestRenewalRefused(t *testing.T) {
	o := newOpenStack(t)
	o.serveServer()
	c := o.connect(t)
	o.expire()
	o.setLogin(answer(401, `{"error": {"message": "The account is locked."}}`, "X-Openstack-Request-Id", "req-7"))
	_, err := c.Server(t.Context(), "s1")
	require.ErrorIs(t, err, cloud.ErrUnauthorized)
	require.EqualError(t, err, "reading server s1: 401 logging in as broker: The account is locked. (request req-7)")
	require.Equal(t, 1, count(o.asked(), "POST"))
}

// A cloud that takes not even fresh tokens is asked once more, and not for ever.
func TestFreshTokenRefused(t *testing.T) {
	o := newOpenStack(t)
	o.mux.HandleFunc("GET /compute/v2.1/servers/{id}", answer(401, `{"error": {"message": "no"}}`))
	c := o.connect(t)
	_, err := c.Server(t.Context(), "s1")
	require.ErrorIs(t, err, cloud.ErrUnauthorized)
	require.Equal(t, []string{"GET /compute/v2.1/servers/s1", "POST /identity/v3/auth/tokens", "GET /compute/v2.1/servers/s1"}, o.asked())
}

// The thin client whose request began the renewal gives up. The others get their answers.
func TestRenewalOutlivesItsFirstCaller(t *testing.T) {
	o := newOpenStack(t)
	o.serveServer()
	c := o.connect(t)
	o.expire()
	entered, release := make(chan struct{}), make(chan struct{})
	o.setLogin(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-release
		o.setLogin(nil)
		o.issue(w, r)
	})
	ctx, cancel := context.WithCancel(t.Context())
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { _, err := c.Server(ctx, "s1"); first <- err }()
	<-entered
	go func() { _, err := c.Server(t.Context(), "s1"); second <- err }()
	require.Eventually(t, func() bool { return countNow(o, "GET /compute/v2.1/servers/s1") == 2 }, 10*time.Second, time.Millisecond)
	cancel()
	select {
	case err := <-first:
		require.ErrorIs(t, err, context.Canceled)
	case <-time.After(10 * time.Second):
		t.Fatal("the cancelled caller hangs")
	}
	close(release)
	require.NoError(t, <-second)
}

func countNow(o *openstack, prefix string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return count(o.requests, prefix)
}
