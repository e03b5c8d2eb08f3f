package cloud_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/cloud"
)

// A cloud that quotes all it was sent, in every way to fail, gets no secret into an error: not into its text, nor into those
// of what it wraps, nor by formatting it with its fields.
func TestNoSecretsInErrors(t *testing.T) {
	quote := func(r *http.Request) string {
		all := readAll(r) + " " + r.URL.RequestURI() + " " + r.URL.Path + " " + r.Header.Get("X-Auth-Token") + " " +
			url.QueryEscape(password) + " " + password
		text, err := json.Marshal(all)
		require.NoError(t, err)
		return string(text)
	}
	refuse := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			answer(status, `{"error": {"message": `+quote(r)+`}}`, "X-Openstack-Request-Id", "req-"+r.Header.Get("X-Auth-Token"))(w, r)
		}
	}
	troubles := map[string]http.HandlerFunc{
		"cut": cut,
		"no JSON": func(w http.ResponseWriter, r *http.Request) {
			answer(200, r.Header.Get("X-Auth-Token")+quote(r))(w, r)
		},
		"another type": func(w http.ResponseWriter, r *http.Request) {
			q := quote(r)
			answer(202, `{"server": `+q+`, "servers": `+q+`, "console": `+q+`, "remote_console": `+q+`, "flavors": `+q+`, "images": `+q+`, "networks": `+q+`, "token": `+q+`, "version": `+q+`}`)(w, r)
		},
		"elsewhere": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1"+r.URL.RequestURI()+"?t="+r.Header.Get("X-Auth-Token"), http.StatusTemporaryRedirect)
		},
		"no HTTP": func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = fmt.Fprintf(conn, "%s %s\r\n\r\n", r.Header.Get("X-Auth-Token"), r.URL.RequestURI())
				_ = conn.Close()
			}
		},
	}
	for _, status := range []int{300, 400, 401, 403, 404, 406, 409, 413, 429, 500, 501, 502, 503, 504} {
		troubles[fmt.Sprint(status)] = refuse(status)
	}
	calls := map[string]func(context.Context, *cloud.Cloud) error{
		"create": func(ctx context.Context, c *cloud.Cloud) error {
			_, err := c.CreateServer(ctx, cloud.ServerSpec{Name: "desk-1", FlavorID: "f", ImageID: "i", UserData: []byte("password: " + password)})
			return err
		},
		"server":  func(ctx context.Context, c *cloud.Cloud) error { _, err := c.Server(ctx, "s1"); return err },
		"servers": func(ctx context.Context, c *cloud.Cloud) error { _, err := c.Servers(ctx, cloud.Filter{}); return err },
		"delete":  func(ctx context.Context, c *cloud.Cloud) error { return c.DeleteServer(ctx, "s1") },
		"start":   func(ctx context.Context, c *cloud.Cloud) error { return c.StartServer(ctx, "s1") },
		"stop":    func(ctx context.Context, c *cloud.Cloud) error { return c.StopServer(ctx, "s1") },
		"reboot":  func(ctx context.Context, c *cloud.Cloud) error { return c.RebootServer(ctx, "s1") },
		"metadata": func(ctx context.Context, c *cloud.Cloud) error {
			return c.SetServerMetadata(ctx, "s1", map[string]string{"a": "b"})
		},
		"unset":   func(ctx context.Context, c *cloud.Cloud) error { return c.DeleteServerMetadata(ctx, "s1", "a") },
		"tag":     func(ctx context.Context, c *cloud.Cloud) error { _, err := c.TagServer(ctx, "s1", "x"); return err },
		"untag":   func(ctx context.Context, c *cloud.Cloud) error { return c.UntagServer(ctx, "s1", "x") },
		"direct":  func(ctx context.Context, c *cloud.Cloud) error { _, err := c.SpiceDirect(ctx, "s1"); return err },
		"html5":   func(ctx context.Context, c *cloud.Cloud) error { _, err := c.SpiceHTML5(ctx, "s1"); return err },
		"flavor":  func(ctx context.Context, c *cloud.Cloud) error { _, err := c.Flavor(ctx, "x"); return err },
		"image":   func(ctx context.Context, c *cloud.Cloud) error { _, err := c.Image(ctx, "x"); return err },
		"network": func(ctx context.Context, c *cloud.Cloud) error { _, err := c.Network(ctx, "x"); return err },
	}
	seen := 0
	check := func(t *testing.T, err error) {
		t.Helper()
		if err == nil {
			return // such as a 404 to a deletion
		}
		seen++
		var e *cloud.Error
		require.ErrorAs(t, err, &e)
		for ; err != nil; err = errors.Unwrap(err) {
			for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
				for _, part := range []string{tokens, "w+örd", "rd&<1>", "w%2B", "console-token", "cGFzc3dvcmQ6"} {
					require.NotContains(t, text, part)
				}
				require.Less(t, len(text), 2000)
			}
		}
	}
	for name, trouble := range troubles {
		o := newOpenStack(t)
		o.setVersion(versions("2.1", "2.99"))
		config := o.config(t)
		cloud.WithFakeClock(config)
		c := o.connectWith(t, config)
		o.mux.HandleFunc("/", trouble)
		for call, do := range calls {
			t.Run(name+" "+call, func(t *testing.T) { check(t, do(t.Context(), c)) })
		}
		// Consoles have a second request.
		for _, where := range []string{"spice_auto.html?token=", "?other="} {
			mux := http.NewServeMux()
			mux.HandleFunc("POST /compute/v2.1/servers/s1/remote-consoles",
				answer(200, `{"remote_console": {"url": "http://127.0.0.1:6082/`+where+url.QueryEscape(consoleToken)+`"}}`))
			mux.HandleFunc("/", trouble)
			o.setMux(mux)
			t.Run(name+" console "+where, func(t *testing.T) {
				check(t, calls["html5"](t.Context(), c))
				check(t, calls["direct"](t.Context(), c))
			})
		}
		t.Run(name+" login", func(t *testing.T) {
			o.setLogin(trouble)
			_, err := cloud.Connect(t.Context(), config)
			require.Error(t, err)
			check(t, err)
			o.expire()
			_, err = c.Server(t.Context(), "s1")
			require.Error(t, err)
			check(t, err)
		})
		t.Run(name+" discovery", func(t *testing.T) {
			o.setLogin(nil)
			o.setVersion(trouble)
			fresh := o.config(t)
			cloud.WithFakeClock(fresh)
			_, err := cloud.Connect(t.Context(), fresh)
			require.Error(t, err)
			check(t, err)
		})
	}
	require.Greater(t, seen, len(troubles)*len(calls))
	require.True(t, strings.Contains(password, "w+ö"), "the parts looked for are of the password")
}
