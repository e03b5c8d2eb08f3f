package sim_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/lab/sim/directory"
)

// TestErrorForms: each service answers errors in its own way, and clients tell them apart by it.
func TestErrorForms(t *testing.T) {
	lab := startLab(t, sim.Config{Servers: []sim.ServerSeed{{Name: "a"}}, Users: sim.StaticUsers{"ann": "secret"}})
	admin := adminToken(t, lab)
	ann := login(t, lab, passwordBody("ann", "users", "secret", desktopsScope))
	unscoped := login(t, lab, passwordBody("ann", "users", "secret", ""))
	server, flavor, image := lab.Servers()[0].ID, lab.FlavorID("desktop.small"), lab.ImageID("desktop")
	createBody := func(more string) string {
		return fmt.Sprintf(`{"server":{"name":"x","flavorRef":%q,"imageRef":%q%s}}`, flavor, image, more)
	}
	const (
		nova293 = "OpenStack-API-Version: compute 2.93"
		placed  = "OpenStack-API-Version: placement 1.39"
	)
	for name, test := range map[string]struct {
		method, path, token, body string
		header                    string
		status                    int
		keys                      string // where the message is
		message                   string // a part of it
	}{
		"keystone, wrong password": {method: "POST", path: "/identity/v3/auth/tokens", body: passwordBody("admin", "Default", "no", ""),
			status: 401, keys: "error message", message: "The request you have made requires authentication."},
		"keystone, no such user": {method: "POST", path: "/identity/v3/auth/tokens", body: passwordBody("who", "Default", "no", ""),
			status: 401, keys: "error message", message: "The request you have made requires authentication."},
		"keystone, no such domain": {method: "POST", path: "/identity/v3/auth/tokens", body: passwordBody("admin", "Nowhere", "admin", ""),
			status: 401, keys: "error title", message: "Unauthorized"},
		"keystone, no such project": {method: "POST", path: "/identity/v3/auth/tokens",
			body: passwordBody("admin", "Default", "admin", `{"project":{"id":"x"}}`), status: 401, keys: "error title", message: "Unauthorized"},
		"keystone, no role in project": {method: "POST", path: "/identity/v3/auth/tokens",
			body:   passwordBody("ann", "users", "secret", `{"project":{"name":"admin","domain":{"id":"default"}}}`),
			status: 401, keys: "error title", message: "Unauthorized"},
		"keystone, no JSON": {method: "POST", path: "/identity/v3/auth/tokens", body: "{",
			status: 400, keys: "error message", message: "Expecting to find valid JSON in request body."},
		"keystone, no token":  {method: "GET", path: "/identity/v3/projects", status: 401, keys: "error title", message: "Unauthorized"},
		"keystone, forbidden": {method: "GET", path: "/identity/v3/projects", token: ann, status: 403, keys: "error message", message: "identity:list_projects"},
		"keystone, no such token": {method: "GET", path: "/identity/v3/auth/tokens", token: admin, header: "X-Subject-Token: x",
			status: 404, keys: "error message", message: "Could not recognize Fernet token"},
		"keystone, no such method": {method: "PATCH", path: "/identity/v3/auth/tokens", status: 405, keys: "message",
			message: "The method is not allowed for the requested URL."},

		"nova, no token":     {method: "GET", path: "/compute/v2.1/servers", status: 401, keys: "error message", message: "requires authentication"},
		"nova, wrong token":  {method: "GET", path: "/compute/v2.1/servers", token: "x", status: 401, keys: "error title", message: "Unauthorized"},
		"nova, unscoped":     {method: "POST", path: "/compute/v2.1/servers", token: unscoped, status: 403, keys: "forbidden message", message: "Policy doesn't allow"},
		"nova, no server":    {method: "GET", path: "/compute/v2.1/servers/x", token: admin, status: 404, keys: "itemNotFound message", message: "Instance x could not be found."},
		"nova, no path":      {method: "GET", path: "/compute/v2.1/nothing", token: admin, status: 404, keys: "code", message: "404 Not Found"},
		"nova, no method":    {method: "PATCH", path: "/compute/v2.1/servers", token: admin, status: 404, keys: "title", message: "Not Found"},
		"nova, too new":      {method: "GET", path: "/compute/v2.1/servers", token: admin, header: "OpenStack-API-Version: compute 2.94", status: 406, keys: "computeFault message", message: "Version 2.94 is not supported by the API. Minimum is 2.1 and maximum is 2.93."},
		"nova, no version":   {method: "GET", path: "/compute/v2.1/servers", token: admin, header: "X-OpenStack-Nova-API-Version: two", status: 400, keys: "badRequest message", message: "API Version String two is of invalid format."},
		"nova, tags at 2.25": {method: "GET", path: "/compute/v2.1/servers/" + server + "/tags", token: admin, header: "X-OpenStack-Nova-API-Version: 2.25", status: 404, keys: "itemNotFound message", message: "The resource could not be found."},
		"nova, old console":  {method: "POST", path: "/compute/v2.1/servers/" + server + "/action", token: ann, body: `{"os-getSPICEConsole":{"type":"spice-html5"}}`, header: nova293, status: 404, keys: "itemNotFound code"},
		"nova, no action":    {method: "POST", path: "/compute/v2.1/servers/" + server + "/action", token: ann, body: `{"fly":null}`, status: 400, keys: "badRequest message", message: "There is no such action: fly"},
		"nova, two actions":  {method: "POST", path: "/compute/v2.1/servers/" + server + "/action", token: ann, body: `{"os-start":null,"os-stop":null}`, status: 400, keys: "badRequest message", message: "Malformed request body"},
		"nova, start of active": {method: "POST", path: "/compute/v2.1/servers/" + server + "/action", token: ann, body: `{"os-start":null}`,
			status: 409, keys: "conflictingRequest message", message: "Cannot 'start' instance " + server + " while it is in vm_state active"},
		"nova, VNC":           {method: "POST", path: "/compute/v2.1/servers/" + server + "/remote-consoles", token: ann, header: nova293, body: `{"remote_console":{"protocol":"vnc","type":"novnc"}}`, status: 400, keys: "badRequest message", message: "Unavailable console type novnc."},
		"nova, token of user": {method: "GET", path: "/compute/v2.1/os-console-auth-tokens/x", token: ann, header: nova293, status: 403, keys: "forbidden message", message: "Policy doesn't allow os_compute_api:os-console-auth-tokens to be performed."},
		"nova, no console":    {method: "GET", path: "/compute/v2.1/os-console-auth-tokens/x", token: admin, header: nova293, status: 404, keys: "itemNotFound message", message: "Token not found"},
		"nova, hosts of user": {method: "GET", path: "/compute/v2.1/os-hypervisors", token: ann, status: 403, keys: "forbidden message", message: "os-hypervisors:list"},
		"nova, no body":       {method: "POST", path: "/compute/v2.1/servers", token: ann, body: `{`, status: 400, keys: "badRequest message", message: "Malformed request body"},
		"nova, no networks":   {method: "POST", path: "/compute/v2.1/servers", token: ann, header: nova293, body: createBody(""), status: 400, keys: "badRequest message", message: "'networks' is a required property"},
		"nova, no network":    {method: "POST", path: "/compute/v2.1/servers", token: ann, body: createBody(`,"networks":[{"uuid":"8a3e1c1e-6b1f-4b8e-9e59-1f1b0c7f4a11"}]`), status: 400, keys: "badRequest message", message: "Network 8a3e1c1e-6b1f-4b8e-9e59-1f1b0c7f4a11 could not be found."},
		"nova, bad network":   {method: "POST", path: "/compute/v2.1/servers", token: ann, body: createBody(`,"networks":[{"uuid":"n"}]`), status: 400, keys: "badRequest message", message: "Bad networks format"},
		"nova, early tags":    {method: "POST", path: "/compute/v2.1/servers", token: ann, body: createBody(`,"tags":["a"]`), status: 400, keys: "badRequest message", message: "('tags' was unexpected)"},
		"nova, bad tag":       {method: "POST", path: "/compute/v2.1/servers", token: ann, header: nova293, body: createBody(`,"networks":"none","tags":["a,b"]`), status: 400, keys: "badRequest message", message: "Value: a,b. 'a,b' does not match"},
		"nova, empty name":    {method: "POST", path: "/compute/v2.1/servers", token: ann, body: strings.Replace(createBody(""), `"x"`, `" "`, 1), status: 400, keys: "badRequest message", message: "An invalid 'name' value was provided."},
		"nova, no flavor":     {method: "POST", path: "/compute/v2.1/servers", token: ann, body: strings.Replace(createBody(""), flavor, "f", 1), status: 400, keys: "badRequest message", message: "Flavor f could not be found."},
		"nova, no image":      {method: "POST", path: "/compute/v2.1/servers", token: ann, body: strings.Replace(createBody(""), image, server, 1), status: 400, keys: "badRequest message", message: "Can not find requested image"},
		"nova, long metadata": {method: "POST", path: "/compute/v2.1/servers", token: ann, body: createBody(`,"metadata":{"a":"` + strings.Repeat("x", 256) + `"}`), status: 400, keys: "badRequest message", message: "Invalid input for field/attribute a."},
		"nova, chosen host":   {method: "POST", path: "/compute/v2.1/servers", token: ann, header: nova293, body: createBody(`,"networks":"none","host":"compute01"`), status: 403, keys: "forbidden message", message: "requested_destination"},
		"nova, counts":        {method: "POST", path: "/compute/v2.1/servers", token: ann, body: createBody(`,"min_count":3,"max_count":2`), status: 400, keys: "badRequest message", message: "min_count must be <= max_count"},
		"nova, marker":        {method: "GET", path: "/compute/v2.1/servers?marker=x", token: ann, status: 400, keys: "badRequest message", message: "marker [x] not found"},
		"nova, limit":         {method: "GET", path: "/compute/v2.1/servers?limit=-1", token: ann, status: 400, keys: "badRequest message", message: "query parameters limit"},
		"nova, regex":         {method: "GET", path: "/compute/v2.1/servers?name=(", token: ann, status: 400, keys: "badRequest message", message: "'(' is not a 'regex'"},
		"nova, status":        {method: "GET", path: "/compute/v2.1/servers?status=odd", token: ann, header: nova293, status: 400, keys: "badRequest message", message: "Invalid status value"},
		"nova, parameter":     {method: "GET", path: "/compute/v2.1/servers?odd=1", token: ann, header: nova293, status: 400, keys: "badRequest message", message: "'odd' does not match any of the regexes: '^_'"},
		"nova, sort key":      {method: "GET", path: "/compute/v2.1/servers?sort_key=odd", token: ann, status: 400, keys: "badRequest message", message: "sort_key"},
		"nova, no flavor to show": {method: "GET", path: "/compute/v2.1/flavors/f", token: ann, status: 404, keys: "itemNotFound message",
			message: "Flavor f could not be found."},

		"placement, forbidden": {method: "GET", path: "/placement/resource_providers", token: ann, status: 403, keys: "errors"},
		"placement, too new":   {method: "GET", path: "/placement/resource_providers", token: admin, header: "OpenStack-API-Version: placement 1.40", status: 406, keys: "errors"},
		"placement, none":      {method: "GET", path: "/placement/resource_providers/x", token: admin, header: placed, status: 404, keys: "errors"},
		"placement, no token":  {method: "GET", path: "/placement/resource_providers", status: 401, keys: "error title", message: "Unauthorized"},
		"placement, no path":   {method: "GET", path: "/placement/nothing", token: admin, status: 404, keys: "errors"},

		"glance, none":     {method: "GET", path: "/image/v2/images/x", token: ann, status: 404, keys: "message", message: "No image found with ID x"},
		"glance, no token": {method: "GET", path: "/image/v2/images", status: 401, keys: "title", message: "Unauthorized"},
		"neutron, none":    {method: "GET", path: "/network/v2.0/networks/x", token: ann, status: 404, keys: "NeutronError type", message: "NetworkNotFound"},
		"neutron, no path": {method: "GET", path: "/network/v2.0/nothing", token: ann, status: 404, keys: "NeutronError type", message: "HTTPNotFound"},
		"neutron, no body": {method: "POST", path: "/network/v2.0/networks", token: ann, body: `{}`, status: 400, keys: "NeutronError message", message: "Unable to find 'network' in request body"},
	} {
		t.Run(name, func(t *testing.T) {
			var headers []string
			if test.header != "" {
				headers = append(headers, test.header)
			}
			a := do(t, test.method, base(lab)+test.path, test.token, test.body, headers...)
			require.Equal(t, test.status, a.status, a.body)
			v := a.field(t, strings.Fields(test.keys)...)
			require.NotNil(t, v, a.body)
			if test.message != "" {
				require.Contains(t, v, test.message)
			}
			if test.status == 401 {
				uri := lab.AuthURL
				if !strings.HasPrefix(name, "keystone") {
					uri = base(lab) + "/identity"
				}
				require.Equal(t, `Keystone uri="`+uri+`"`, a.header.Get("WWW-Authenticate"))
			}
			require.NotContains(t, a.body, "secret")
		})
	}
	require.Len(t, lab.Servers(), 1, "nothing was made by halves")
}

func TestVersionDocuments(t *testing.T) {
	lab := startLab(t, sim.Config{})
	for path, want := range map[string]struct {
		status int
		text   string
	}{
		"/identity/":     {300, `"id":"v3.14"`},
		"/identity":      {300, `"id":"v3.14"`},
		"/identity/v3":   {200, `"id":"v3.14"`},
		"/compute/":      {200, `"version":"2.93"`},
		"/compute/v2.1/": {200, `"min_version":"2.1"`},
		"/placement/":    {200, `"max_version":"1.39"`},
		"/image/":        {300, `"id":"v2.15"`},
		"/network/":      {200, `"id":"v2.0"`},
		"/nothing/":      {404, ""},
	} {
		a := do(t, "GET", base(lab)+path, "", "")
		require.Equal(t, want.status, a.status, path)
		require.Contains(t, a.body, want.text, path)
	}
}

// TestMicroversionsAreHonoured: what a server looks like depends on the version asked for, and the answer says which it is.
func TestMicroversionsAreHonoured(t *testing.T) {
	lab := startLab(t, sim.Config{Servers: []sim.ServerSeed{{Name: "a", Tags: []string{"t"}}}, Users: sim.StaticUsers{"ann": "secret"}})
	ann := login(t, lab, passwordBody("ann", "users", "secret", desktopsScope))
	admin := adminToken(t, lab)
	show := base(lab) + "/compute/v2.1/servers/" + lab.Servers()[0].ID
	for _, test := range []struct {
		token, version string
		has, hasNot    []string
	}{
		{ann, "", []string{`"flavor":{"id"`}, []string{`"tags"`, `"description"`, `"locked"`, `:host"`, `instance_name`}},
		{ann, "2.26", []string{`"tags":["t"]`, `"description":null`, `"locked":false`}, []string{`"original_name"`, `:host"`}},
		{ann, "2.93", []string{`"original_name":"desktop.small"`, `"server_groups":[]`, `"locked_reason":null`}, []string{`:host"`, `host_status`}},
		{admin, "2.1", []string{`"OS-EXT-SRV-ATTR:host":"compute01"`, `"OS-EXT-SRV-ATTR:instance_name":"instance-00000001"`}, []string{`host_status`, `reservation_id`}},
		{admin, "2.93", []string{`"host_status":"UP"`, `reservation_id`}, nil},
		{admin, "latest", []string{`"host_status":"UP"`}, nil},
	} {
		var headers []string
		if test.version != "" {
			headers = append(headers, "OpenStack-API-Version: identity 3.1, compute "+test.version)
		}
		a := do(t, "GET", show, test.token, "", headers...)
		require.Equal(t, 200, a.status, a.body)
		want := map[string]string{"": "2.1", "latest": "2.93"}[test.version]
		if want == "" {
			want = test.version
		}
		require.Equal(t, "compute "+want, a.header.Get("OpenStack-API-Version"))
		require.Equal(t, want, a.header.Get("X-OpenStack-Nova-API-Version"))
		require.True(t, strings.HasPrefix(a.header.Get("X-Compute-Request-Id"), "req-"))
		for _, part := range test.has {
			require.Contains(t, a.body, part, test.version)
		}
		for _, part := range test.hasNot {
			require.NotContains(t, a.body, part, test.version)
		}
	}
}

type failingUsers struct{ err error }

func (f failingUsers) Check(context.Context, string, string, string) (sim.User, error) {
	return sim.User{}, f.err
}

func TestDirectoryBehindKeystone(t *testing.T) {
	for name, test := range map[string]struct {
		err     error
		debug   bool
		status  int
		message string
	}{
		"wrong password":    {sim.ErrWrongPassword, false, 401, "The request you have made requires authentication."},
		"locked":            {sim.ErrLocked, false, 401, "The request you have made requires authentication."},
		"locked, debugging": {fmt.Errorf("asking: %w", sim.ErrLocked), true, 401, "The account is locked for user: "},
		"down":              {errors.New("ldap: connection refused"), false, 500, "An unexpected error prevented the server from fulfilling your request."},
	} {
		t.Run(name, func(t *testing.T) {
			lab := startLab(t, sim.Config{Users: failingUsers{test.err}, InsecureDebug: test.debug})
			a := do(t, "POST", lab.AuthURL+"/auth/tokens", "", passwordBody("ann", "users", "secret", desktopsScope))
			require.Equal(t, test.status, a.status)
			require.Contains(t, a.field(t, "error", "message"), test.message)
			require.NotContains(t, a.body, "ldap")
			require.NotContains(t, a.body, "secret")
		})
	}
	t.Run("simulated directory", func(t *testing.T) {
		d, err := directory.Start(directory.Callcenter(3))
		require.NoError(t, err)
		defer d.Close()
		lab := startLab(t, sim.Config{Users: sim.DirectoryUsers(d)})
		login(t, lab, passwordBody("agent0001", "users", directory.Password("agent0001"), desktopsScope))
		require.NoError(t, d.Down(true))
		a := do(t, "POST", lab.AuthURL+"/auth/tokens", "", passwordBody("agent0001", "users", directory.Password("agent0001"), ""))
		require.Equal(t, 500, a.status)
	})
}

// TestTokensExpire: by a clock, not by waiting.
func TestTokensExpire(t *testing.T) {
	var ahead atomic.Int64
	lab := startLab(t, sim.Config{
		TokenLifetime: time.Hour, Now: func() time.Time { return time.Unix(1_800_000_000, 0).Add(time.Duration(ahead.Load())) },
	})
	token := adminToken(t, lab)
	expires, err := time.Parse(time.RFC3339Nano, do(t, "GET", lab.AuthURL+"/auth/tokens", token, "", "X-Subject-Token: "+token).
		field(t, "token", "expires_at").(string))
	require.NoError(t, err)
	require.Equal(t, int64(1_800_003_600), expires.Unix())
	list := base(lab) + "/compute/v2.1/servers"
	ahead.Store(int64(time.Hour - time.Second))
	require.Equal(t, http.StatusOK, do(t, "GET", list, token, "").status)
	again := login(t, lab, `{"auth":{"identity":{"methods":["token"],"token":{"id":"`+token+`"}},"scope":`+desktopsScope+`}}`)
	ahead.Store(int64(time.Hour))
	require.Equal(t, http.StatusUnauthorized, do(t, "GET", list, token, "").status)
	require.Equal(t, http.StatusUnauthorized, do(t, "GET", list, again, "").status, "a token got with a token ends with it")
}

func TestConsoleTokensExpire(t *testing.T) {
	var ahead atomic.Int64
	lab := startLab(t, sim.Config{
		TokenLifetime: 24 * time.Hour, Now: func() time.Time { return time.Unix(1_800_000_000, 0).Add(time.Duration(ahead.Load())) },
		Servers: []sim.ServerSeed{{Name: "a"}},
	})
	token := adminToken(t, lab)
	a := do(t, "POST", base(lab)+"/compute/v2.1/servers/"+lab.Servers()[0].ID+"/action", token, `{"os-getSPICEConsole":{"type":"spice-html5"}}`)
	require.Equal(t, 200, a.status, a.body)
	_, console, ok := strings.Cut(a.field(t, "console", "url").(string), "?token=")
	require.True(t, ok)
	show := base(lab) + "/compute/v2.1/os-console-auth-tokens/" + console
	require.Equal(t, 401, do(t, "GET", show, token, "", "OpenStack-API-Version: compute 2.30").status)
	require.Equal(t, 200, do(t, "GET", show, token, "", "OpenStack-API-Version: compute 2.31").status)
	ahead.Store(int64(600 * time.Second))
	require.Equal(t, 404, do(t, "GET", show, token, "", "OpenStack-API-Version: compute 2.31").status)
}

func TestStartRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		config sim.Config
		says   string
	}{
		"servers that do not fit": {sim.Config{Hosts: []sim.Host{{MemoryMB: 5000, RAMRatio: 1}}, Servers: []sim.ServerSeed{{Name: "a"}, {Name: "b"}}},
			"server 2 of 2, b: No valid host was found."},
		"a status":         {sim.Config{Servers: []sim.ServerSeed{{Name: "a", Status: "PAUSED"}}}, `status "PAUSED"`},
		"a flavor":         {sim.Config{Flavors: []sim.Flavor{{Name: "none"}}}, "flavor none"},
		"two images":       {sim.Config{Images: []sim.Image{{Name: "a"}, {Name: "a"}}}, "image a: there are two"},
		"two hosts":        {sim.Config{Hosts: []sim.Host{{Name: "a"}, {Name: "a"}}}, "resource provider a: there are two"},
		"a subnet":         {sim.Config{Networks: []sim.Network{{Name: "n"}}}, "network n: subnet"},
		"a broker":         {sim.Config{NotificationURL: "http://guest:secret@127.0.0.1"}, "the broker's URL is not of the form"},
		"a listen address": {sim.Config{Listen: "127.0.0.1:nothing"}, "starting the simulated cloud"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sim.Start(t.Context(), test.config)
			require.ErrorContains(t, err, test.says)
		})
	}
}
