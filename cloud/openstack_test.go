package cloud_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/cloud"
)

// Secrets that no error may say. The password has what addresses and JSON escape.
const (
	password = `pa ss/"w+örd&<1>`
	tokens   = "gAAAA-token-"
)

// openstack speaks of Keystone what a login needs; what else a test needs, it puts on the mux.
type openstack struct {
	*httptest.Server
	mux     *http.ServeMux
	version http.HandlerFunc // of the compute version document

	mu       sync.Mutex
	requests []string // "METHOD path?query"
	issued   int
	valid    map[string]bool
	login    http.HandlerFunc // instead of issuing a token
}

func newOpenStack(t *testing.T) *openstack {
	o := &openstack{mux: http.NewServeMux(), valid: map[string]bool{}}
	o.version = versions("2.1", "2.93")
	o.Server = httptest.NewServer(o)
	t.Cleanup(o.Close)
	return o
}

func versions(lowest, highest string) http.HandlerFunc {
	return answer(200, `{"version": {"id": "v2.1", "status": "CURRENT", "version": "`+highest+`", "min_version": "`+lowest+`"}}`)
}

func answer(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func (o *openstack) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	o.requests = append(o.requests, r.Method+" "+r.URL.RequestURI())
	login, version, mux, valid := o.login, o.version, o.mux, o.valid[r.Header.Get("X-Auth-Token")]
	o.mu.Unlock()
	switch {
	case r.URL.Path == "/identity/v3/auth/tokens" && login != nil:
		login(w, r)
	case r.URL.Path == "/identity/v3/auth/tokens":
		o.issue(w, r)
	case r.URL.Path == "/compute/v2.1/":
		version(w, r)
	case !valid:
		answer(401, `{"error": {"code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication."}}`)(w, r)
	default:
		mux.ServeHTTP(w, r)
	}
}

func (o *openstack) issue(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Auth struct {
			Identity struct {
				Password struct {
					User struct{ Password string }
				}
			}
		}
	}
	if json.NewDecoder(r.Body).Decode(&body) != nil || body.Auth.Identity.Password.User.Password != password {
		answer(401, `{"error": {"code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication."}}`,
			"X-Openstack-Request-Id", "req-401")(w, r)
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.issued++
	token := fmt.Sprintf("%s%d", tokens, o.issued)
	o.valid[token] = true
	endpoint := func(kind, path string) string {
		return fmt.Sprintf(`{"type": %q, "name": %[1]q, "endpoints": [
			{"interface": "admin", "region": "office", "region_id": "office", "url": "http://127.0.0.1:1/never"},
			{"interface": "public", "region": "office", "region_id": "office", "url": %q}]}`, kind, o.URL+path)
	}
	answer(201, `{"token": {"catalog": [`+strings.Join([]string{
		endpoint("identity", "/identity"), endpoint("compute", "/compute/v2.1/0123456789abcdef"),
		endpoint("image", "/image"), endpoint("network", "/network"),
	}, ",")+`]}}`, "X-Subject-Token", token)(w, r)
}

// expire makes every token that was issued a wrong one.
func (o *openstack) expire() {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.valid)
}

func (o *openstack) setLogin(h http.HandlerFunc) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.login = h
}

func (o *openstack) setVersion(h http.HandlerFunc) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.version = h
}

func (o *openstack) setMux(mux *http.ServeMux) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mux = mux
}

// asked returns the requests since it was asked last.
func (o *openstack) asked() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	requests := o.requests
	o.requests = nil
	return requests
}

func (o *openstack) config(t *testing.T) cloud.Config {
	t.Helper()
	config, err := cloud.New(gophercloud.AuthOptions{
		IdentityEndpoint: o.URL + "/identity", Username: "broker", Password: password, DomainName: "Default", TenantName: "desktops",
	})
	require.NoError(t, err)
	t.Cleanup(config.Transport.CloseIdleConnections)
	return config
}

func (o *openstack) connect(t *testing.T) *cloud.Cloud {
	t.Helper()
	return o.connectWith(t, o.config(t))
}

func (o *openstack) connectWith(t *testing.T, config cloud.Config) *cloud.Cloud {
	t.Helper()
	c, err := cloud.Connect(t.Context(), config)
	require.NoError(t, err)
	o.asked()
	return c
}
