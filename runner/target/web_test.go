package target_test

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/runner/target"
)

func request(method, path, body string, fine ...int) target.Step {
	return target.Step{Target: "lab", HTTP: &target.HTTP{Method: method, Path: path, Body: body, Fine: fine}}
}

func TestWeb(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.Header.Get("Authorization") != "Bearer hunter2":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/base/v1/faults" && r.Method == "POST" && r.Header.Get("Content-Type") == "application/json":
			_, _ = w.Write(body)
		case r.URL.Path == "/base/state": // of a lab with a thousand hosts
			_, _ = w.Write([]byte("[" + strings.Repeat(`"a host of the lab and all that is on it",`, 5000) + "0]"))
		case r.URL.Path == "/base/endless":
			_, _ = w.Write(make([]byte, 5<<20))
		case r.URL.Path == "/base/slow":
			<-r.Context().Done()
		case r.URL.Path == "/base/elsewhere":
			http.Redirect(w, r, "https://elsewhere.invalid/", http.StatusFound)
		case r.URL.Path == "/base/problem":
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusConflict)
			_, _ = w.Write([]byte(`{"title": "Conflict", "detail": "The fault f1 holds it."}`))
		default:
			http.Error(w, "it is not there", http.StatusNotFound)
		}
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	ca, token := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "token")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	require.NoError(t, os.WriteFile(token, []byte("hunter2\n"), 0o600))
	config := target.Web{URL: server.URL + "/base/", CA: ca, Token: configfile.Secret{File: token}, Timeout: time.Minute}
	do := target.New(target.Config{"lab": {HTTP: &config}})

	out, err := do.Do(t.Context(), request("POST", "/v1/faults", `{"id": "f1"}`))
	require.NoError(t, err)
	require.Equal(t, `{"id": "f1"}`, out)
	out, err = do.Do(t.Context(), request("GET", "/state", ""))
	require.NoError(t, err)
	require.True(t, json.Valid([]byte(out)), "it is cut after %d bytes", len(out))
	out, err = do.Do(t.Context(), request("GET", "/endless", ""))
	require.NoError(t, err)
	require.Len(t, out, 4<<20)
	_, err = do.Do(t.Context(), request("DELETE", "/v1/faults/f1", "", 404))
	require.NoError(t, err)
	_, err = do.Do(t.Context(), request("DELETE", "/v1/faults/f1", ""))
	require.EqualError(t, err, "DELETE /v1/faults/f1 at lab: 404 Not Found: it is not there")
	_, err = do.Do(t.Context(), request("GET", "/problem", ""))
	require.EqualError(t, err, "GET /problem at lab: 409 Conflict: The fault f1 holds it.")
	_, err = do.Do(t.Context(), request("GET", "/elsewhere", ""))
	require.ErrorContains(t, err, "302 Found")
	hasty := config
	hasty.Timeout = 100 * time.Millisecond
	_, err = target.New(target.Config{"lab": {HTTP: &hasty}}).Do(t.Context(), request("GET", "/slow", ""))
	require.ErrorContains(t, err, "Client.Timeout")
	require.NotContains(t, err.Error(), "hunter2")

	// What is wrong with its files is told when it is needed, and read again then.
	config.CA = filepath.Join(dir, "later.pem")
	do = target.New(target.Config{"lab": {HTTP: &config}})
	_, err = do.Do(t.Context(), request("GET", "/problem", ""))
	require.ErrorContains(t, err, "reading authorities' certificates")
	require.NoError(t, os.Link(ca, config.CA))
	_, err = do.Do(t.Context(), request("GET", "/problem", ""))
	require.ErrorContains(t, err, "409 Conflict")
	config.CA = ""
	_, err = target.New(target.Config{"lab": {HTTP: &config}}).Do(t.Context(), request("GET", "/problem", ""))
	require.ErrorContains(t, err, "certificate")
}
