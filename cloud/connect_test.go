package cloud_test

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/cloud"
)

func TestConnectCosts(t *testing.T) {
	o := newOpenStack(t)
	config := o.config(t)

	first, err := cloud.Connect(t.Context(), config)
	require.NoError(t, err)
	require.Equal(t, []string{"POST /identity/v3/auth/tokens", "GET /compute/v2.1/"}, o.asked())
	require.Equal(t, "2.93", first.ComputeMicroversion())

	second, err := cloud.Connect(t.Context(), config.As("u117", password, ""))
	require.NoError(t, err)
	require.Equal(t, []string{"POST /identity/v3/auth/tokens"}, o.asked())
	require.Equal(t, "2.93", second.ComputeMicroversion())
}

func TestConnectTogether(t *testing.T) {
	o := newOpenStack(t)
	config := o.config(t)
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			_, err := cloud.Connect(t.Context(), config.As("u"+strconv.Itoa(i), password, ""))
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	requests := strings.Join(o.asked(), "\n")
	require.Equal(t, 50, strings.Count(requests, "POST"))
	require.Equal(t, 1, strings.Count(requests, "GET"), "one discovers for all")
}

func TestConnectRefused(t *testing.T) {
	o := newOpenStack(t)
	tests := []struct {
		name    string
		config  func(cloud.Config) cloud.Config
		version http.HandlerFunc
		login   http.HandlerFunc
		is      error
		says    string
	}{
		{name: "wrong password", config: func(c cloud.Config) cloud.Config { return c.As("u117", "wrong-"+password, "") },
			is: cloud.ErrUnauthorized, says: "logging in as u117: 401 The request you have made requires authentication. (request req-401)"},
		{name: "no password", config: func(c cloud.Config) cloud.Config { return c.As("u117", "", "") },
			is: cloud.ErrUnauthorized, says: "the password is empty"},
		{name: "zero", config: func(cloud.Config) cloud.Config { return cloud.Config{} }, says: "Load or New"},
		{name: "zero, as", config: func(cloud.Config) cloud.Config { return cloud.Config{}.As("u", "p", "") }, says: "Load or New"},
		{name: "region", config: func(c cloud.Config) cloud.Config { c.Region = "ofice"; return c },
			is: cloud.ErrNotOffered, says: `no public compute endpoint in region "ofice"; it has regions: office`},
		{name: "interface", config: func(c cloud.Config) cloud.Config { c.Interface = "publc"; return c }, says: `interface "publc"`},
		{name: "owner", config: func(c cloud.Config) cloud.Config { c.Owner = "team/desk"; return c }, says: `contains "/"`},
		{name: "run", config: func(c cloud.Config) cloud.Config { c.Run = strings.Repeat("r", 47); return c }, says: "60 characters"},
		{name: "no Keystone there", login: answer(404, "<html>"), is: cloud.ErrNotFound, says: "there is no Keystone v3 at"},
		{name: "no token", login: answer(201, `{"token": {}}`), says: "sent no token"},
		{name: "no catalog", login: answer(201, `{"token": {}}`, "X-Subject-Token", tokens), is: cloud.ErrNotOffered, says: "the catalog has no public compute endpoint"},
		{name: "no JSON", login: answer(201, `<html>`, "X-Subject-Token", tokens), says: "invalid character"},
		{name: "elsewhere", login: answer(307, "", "Location", "http://127.0.0.1:1/other"), is: cloud.ErrUnavailable, says: "redirects to http://127.0.0.1:1"},
		{name: "moved", login: answer(307, "", "Location", "/identity/v3/auth/tokens2"), is: cloud.ErrUnavailable, says: "redirects a POST"},
		{name: "Ocata", version: versions("2.1", "2.42"), is: cloud.ErrNotOffered, says: "to 2.42, and tags need 2.52 (Pike)"},
		{name: "no microversions", version: versions("", ""), is: cloud.ErrNotOffered, says: "no microversions"},
		{name: "far future", version: versions("2.120", "2.140"), is: cloud.ErrNotOffered, says: "no microversion below 2.120"},
		{name: "nonsense", version: versions("2.1", "latest"), says: "not a version"},
		{name: "compute fails", version: answer(500, `{"computeFault": {"code": 500, "message": "Unexpected API Error."}}`), says: "500 asking for the microversions of"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o.setVersion(versions("2.1", "2.99"))
			if test.version != nil {
				o.setVersion(test.version)
			}
			o.setLogin(test.login)
			config := o.config(t)
			if test.config != nil {
				config = test.config(config)
			}
			_, err := cloud.Connect(t.Context(), config)
			require.ErrorContains(t, err, test.says)
			require.NotContains(t, err.Error(), "w+örd")
			if test.is != nil {
				require.ErrorIs(t, err, test.is)
			}
		})
	}
}

func TestMicroversions(t *testing.T) {
	for highest, want := range map[string]string{"2.52": "2.52", "2.93": "2.93", "2.99": "2.99", "2.100": "2.99", "3.1": "2.99"} {
		o := newOpenStack(t)
		o.setVersion(versions("2.1", highest))
		o.mux.HandleFunc("GET /compute/v2.1/servers/{id}", func(w http.ResponseWriter, r *http.Request) {
			require.Equal(t, want, r.Header.Get("X-OpenStack-Nova-API-Version"))
			require.Equal(t, "compute "+want, r.Header.Get("OpenStack-API-Version"))
			answer(200, `{"server": {"id": "s1"}}`)(w, r)
		})
		c := o.connect(t)
		require.Equal(t, want, c.ComputeMicroversion())
		_, err := c.Server(t.Context(), "s1")
		require.NoError(t, err)
	}
}

// A discovery that failed is not remembered.
func TestDiscoveryAgain(t *testing.T) {
	o := newOpenStack(t)
	config := o.config(t)
	o.setVersion(answer(500, ""))
	_, err := cloud.Connect(t.Context(), config)
	require.Error(t, err)
	o.setVersion(versions("2.1", "2.93"))
	_, err = cloud.Connect(t.Context(), config)
	require.NoError(t, err)
}

func TestNobodyThere(t *testing.T) {
	config, err := cloud.New(gophercloud.AuthOptions{
		IdentityEndpoint: "http://127.0.0.1:1", Username: "u", Password: password, DomainName: "Default", TenantName: "p",
	})
	require.NoError(t, err)
	clock := cloud.WithFakeClock(config)
	_, err = cloud.Connect(t.Context(), config)
	require.ErrorIs(t, err, cloud.ErrUnavailable)
	require.ErrorContains(t, err, "connection refused, after ")
	var e *cloud.Error
	require.ErrorAs(t, err, &e)
	require.Zero(t, e.Status)
	require.Greater(t, e.Retries, 2)
	require.LessOrEqual(t, clock.Slept(), cloud.DefaultRetryFor)
}

func TestCancelledConnect(t *testing.T) {
	o := newOpenStack(t)
	released := make(chan struct{})
	hang := func(w http.ResponseWriter, r *http.Request) { <-released }
	t.Cleanup(func() { close(released) })
	for name, prepare := range map[string]func(){
		"login":     func() { o.setLogin(hang) },
		"discovery": func() { o.setLogin(nil); o.setVersion(hang) },
	} {
		t.Run(name, func(t *testing.T) {
			prepare()
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				_, err := cloud.Connect(ctx, o.config(t))
				done <- err
			}()
			require.Eventually(t, func() bool {
				requests := o.asked()
				return len(requests) > 0 && (name == "login" || strings.HasPrefix(requests[len(requests)-1], "GET"))
			}, 10*time.Second, time.Millisecond)
			cancel()
			select {
			case err := <-done:
				require.ErrorIs(t, err, context.Canceled)
				require.NotErrorIs(t, err, cloud.ErrUnavailable)
			case <-time.After(10 * time.Second):
				t.Fatal("it hangs")
			}
		})
	}
}

// What a logged-in user costs: thousands of thin clients have one each.
func TestCloudsAreSmall(t *testing.T) {
	o := newOpenStack(t)
	config := o.config(t)
	const n = 200
	clouds := make([]*cloud.Cloud, n)
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	o.connectWith(t, config)
	before := heap()
	for i := range clouds {
		var err error
		clouds[i], err = cloud.Connect(t.Context(), config.As("u"+strconv.Itoa(i), password, ""))
		require.NoError(t, err)
	}
	o.asked()
	each := (int64(heap()) - int64(before)) / n
	t.Logf("%d bytes a logged-in user", each)
	require.Less(t, each, int64(16<<10))
	runtime.KeepAlive(clouds)
}

func TestNewRefuses(t *testing.T) {
	_, err := cloud.New(gophercloud.AuthOptions{})
	require.ErrorContains(t, err, "missing: IdentityEndpoint, Username (or UserID), Password")
	_, err = cloud.New(gophercloud.AuthOptions{IdentityEndpoint: "http://x", TokenID: "t", Username: "u", TenantID: "p"})
	require.ErrorContains(t, err, "do not fit together")
	require.False(t, errors.Is(err, cloud.ErrUnauthorized))
}
