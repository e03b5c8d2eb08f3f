package cloud_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/cloud"
)

const consoleToken = "5f2a7c1e-console-token+/="

func TestConsoles(t *testing.T) {
	const plain, inPath = `http://127.0.0.1:6082/spice_auto.html?token=5f2a7c1e-console-token%2B%2F%3D`,
		`http://127.0.0.1:6082/spice_auto.html?path=%3Ftoken%3D5f2a7c1e-console-token%252B%252F%253D`
	unavailable := answer(400, `{"badRequest": {"code": 400, "message": "Unavailable console type spice-direct."}}`)
	broken := answer(500, `{"computeFault": {"code": 500, "message": "Unexpected API Error.\n<class 'ValueError'>"}}`)
	tests := []struct {
		name     string
		direct   bool
		highest  string
		url      string
		asking   http.HandlerFunc // instead of the URL
		status   string           // the server's
		resolved http.HandlerFunc
		want     cloud.ConsoleAddress
		requests int
		is       error
		says     string
	}{
		{name: "html5, Zed", highest: "2.93", url: plain, resolved: answer(200, `{"console": {"instance_uuid": "s1", "host": "10.0.0.7", "port": 5900, "internal_access_path": null}}`),
			want: cloud.ConsoleAddress{Host: "10.0.0.7", Port: 5900, ServerID: "s1"}, requests: 2},
		{name: "html5, token in the path", highest: "2.99", url: inPath, resolved: answer(200, `{"console": {"instance_uuid": "s1", "host": "10.0.0.7", "port": "5900", "tls_port": "5901"}}`),
			want: cloud.ConsoleAddress{Host: "10.0.0.7", Port: 5900, TLSPort: 5901, ServerID: "s1"}, requests: 2},
		{name: "direct", direct: true, highest: "2.99", url: plain, resolved: answer(200, `{"console": {"instance_uuid": "s1", "host": "node17", "port": 5900, "tls_port": 5901}}`),
			want: cloud.ConsoleAddress{Host: "node17", Port: 5900, TLSPort: 5901, ServerID: "s1"}, requests: 2},
		{name: "direct, TLS alone", direct: true, highest: "2.100", url: plain, resolved: answer(200, `{"console": {"instance_uuid": "s1", "host": "node17", "port": null, "tls_port": 5901}}`),
			want: cloud.ConsoleAddress{Host: "node17", TLSPort: 5901, ServerID: "s1"}, requests: 2},
		{name: "direct, Zed", direct: true, highest: "2.93", is: cloud.ErrNotOffered, says: "asking for the spice-direct console of server s1: it needs microversion 2.99, and this cloud speaks 2.93"},
		{name: "direct, disabled", direct: true, highest: "2.99", asking: unavailable, requests: 1, is: cloud.ErrNotOffered, says: "not enabled"},
		{name: "html5, VNC cloud", highest: "2.93", asking: unavailable, requests: 1, is: cloud.ErrNotOffered},
		{name: "hypervisor has none", highest: "2.93", asking: answer(501, `{"notImplemented": {"message": "Unable to get console, functionality not implemented"}}`), requests: 1, is: cloud.ErrNotOffered},
		{name: "other bad request", highest: "2.93", asking: answer(400, `{"badRequest": {"message": "Invalid input"}}`), requests: 1, says: "400 Invalid input"},
		{name: "not running", highest: "2.93", asking: answer(409, `{"conflictingRequest": {"message": "Instance s1 is not ready"}}`), requests: 1, is: cloud.ErrConflict},
		{name: "shut off", highest: "2.93", asking: broken, status: "SHUTOFF", requests: 2, is: cloud.ErrConflict, says: "it is SHUTOFF"},
		{name: "broken", highest: "2.93", asking: broken, status: "ACTIVE", requests: 2, says: "500 Unexpected API Error."},
		{name: "gone", highest: "2.93", asking: answer(404, `{"itemNotFound": {"message": "Instance s1 could not be found."}}`), requests: 1, is: cloud.ErrNotFound},
		{name: "not for users", highest: "2.93", url: plain, resolved: answer(403, `{"forbidden": {"message": "Policy doesn't allow os_compute_api:os-console-auth-tokens to be performed."}}`), requests: 2, is: cloud.ErrForbidden},
		{name: "token quoted", highest: "2.93", url: plain, resolved: answer(404, `{"itemNotFound": {"message": "Token 5f2a7c1e-console-token+/= and 5f2a7c1e-console-token%2B%2F%3D not found"}}`), requests: 2, is: cloud.ErrNotFound, says: "Token [hidden] and [hidden] not found"},
		{name: "cut", highest: "2.93", url: plain, resolved: cut, requests: -1, is: cloud.ErrUnavailable},
		{name: "no token", highest: "2.93", url: `http://127.0.0.1:6082/spice_auto.html?secret=` + consoleToken, requests: 1, says: "holds no token"},
		{name: "no address", highest: "2.93", url: `http://[` + consoleToken, requests: 1, says: "not one"},
		{name: "no console", highest: "2.93", asking: answer(200, `{}`), requests: 1, says: "holds no console"},
		{name: "nowhere", highest: "2.93", url: plain, resolved: answer(200, `{"console": {"host": "", "port": 5900}}`), requests: 2, says: "does not say where"},
		{name: "no port", highest: "2.93", url: plain, resolved: answer(200, `{"console": {"host": "node17", "port": 0}}`), requests: 2, says: "does not say where"},
		{name: "bad port", highest: "2.93", url: plain, resolved: answer(200, `{"console": {"host": "node17", "port": 70000}}`), requests: 2, says: "port is not one"},
		{name: "worse port", highest: "2.93", url: plain, resolved: answer(200, `{"console": {"host": "node17", "port": {}}}`), requests: 2, says: "port is not one"},
		{name: "another's", highest: "2.93", url: plain, resolved: answer(200, `{"console": {"instance_uuid": "s2", "host": "node17", "port": 5900}}`), requests: 2, says: "another server"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := newOpenStack(t)
			o.setVersion(versions("2.1", test.highest))
			kind := map[bool]string{false: "spice-html5", true: "spice-direct"}[test.direct]
			o.mux.HandleFunc("POST /compute/v2.1/servers/s1/remote-consoles", func(w http.ResponseWriter, r *http.Request) {
				if body := readAll(r); !strings.Contains(body, `"protocol":"spice"`) || !strings.Contains(body, `"type":"`+kind+`"`) {
					t.Errorf("asked for %s", body)
				}
				if test.asking != nil {
					test.asking(w, r)
					return
				}
				answer(200, `{"remote_console": {"protocol": "spice", "type": "`+kind+`", "url": "`+test.url+`"}}`)(w, r)
			})
			o.mux.HandleFunc("GET /compute/v2.1/os-console-auth-tokens/{token}", func(w http.ResponseWriter, r *http.Request) {
				if r.PathValue("token") != consoleToken {
					t.Errorf("token %q", r.PathValue("token"))
				}
				test.resolved(w, r)
			})
			o.mux.HandleFunc("GET /compute/v2.1/servers/s1", answer(200, `{"server": {"id": "s1", "status": "`+test.status+`"}}`))
			config := o.config(t)
			config.RetryFor = -1
			c := o.connectWith(t, config)
			ask := c.SpiceHTML5
			if test.direct {
				ask = c.SpiceDirect
			}
			at, err := ask(t.Context(), "s1")
			if test.requests >= 0 { // net/http itself repeats a GET whose kept connection was cut
				require.Len(t, o.asked(), test.requests)
			}
			if test.is == nil && test.says == "" {
				require.NoError(t, err)
				require.Equal(t, test.want, at)
				return
			}
			require.ErrorContains(t, err, test.says)
			require.NotContains(t, err.Error(), "console-token")
			if test.is != nil {
				require.ErrorIs(t, err, test.is)
			}
			require.Zero(t, at)
		})
	}
}
