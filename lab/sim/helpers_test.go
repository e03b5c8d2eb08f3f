package sim_test

import (
	"bytes"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim"
)

type randSource = rand.Rand

func instant(*rand.Rand) time.Duration { return 0 }

// base is the URL that all services are below.
func base(lab *sim.Lab) string { return strings.TrimSuffix(lab.AuthURL, "/identity/v3") }

// answer is what a raw request got.
type answer struct {
	status int
	header http.Header
	body   string
}

// field looks a value up in a JSON body by keys.
func (a answer) field(t testing.TB, keys ...string) any {
	t.Helper()
	var v any
	require.NoError(t, json.Unmarshal([]byte(a.body), &v), a.body)
	for _, key := range keys {
		m, ok := v.(map[string]any)
		require.True(t, ok, "%s in %s", key, a.body)
		v = m[key]
	}
	return v
}

// do sends a raw request; headers are "Name: value".
func do(t testing.TB, method, url, token, body string, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader([]byte(body)))
	require.NoError(t, err)
	if token != "" {
		r.Header.Set("X-Auth-Token", token)
	}
	r.Header.Set("Accept", "application/json")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return answer{response.StatusCode, response.Header, string(text)}
}

// passwordBody is a login with a password; scope is JSON, or empty.
func passwordBody(name, domain, password, scope string) string {
	auth := map[string]any{"identity": map[string]any{
		"methods": []string{"password"},
		"password": map[string]any{"user": map[string]any{
			"name": name, "domain": map[string]string{"name": domain}, "password": password,
		}},
	}}
	if scope != "" {
		auth["scope"] = json.RawMessage(scope)
	}
	body, err := json.Marshal(map[string]any{"auth": auth})
	if err != nil {
		panic(err)
	}
	return string(body)
}

const desktopsScope = `{"project":{"name":"desktops","domain":{"name":"Default"}}}`

func login(t testing.TB, lab *sim.Lab, body string) string {
	t.Helper()
	a := do(t, "POST", lab.AuthURL+"/auth/tokens", "", body)
	require.Equal(t, 201, a.status, a.body)
	token := a.header.Get("X-Subject-Token")
	require.NotEmpty(t, token)
	return token
}

func adminToken(t testing.TB, lab *sim.Lab) string {
	t.Helper()
	return login(t, lab, passwordBody("admin", "Default", "admin", desktopsScope))
}
