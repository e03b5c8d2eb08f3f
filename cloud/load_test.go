package cloud_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/cloud"
)

const cloudsYAML = `
clouds:
  office:
    auth:
      auth_url: https://cloud.example:5000/v3
      username: broker
      password: hunter2-secret
      user_domain_name: Staff
      project_name: desktops
      project_domain_name: Default
    region_name: north
    interface: internal
  credential:
    auth_type: v3applicationcredential
    auth:
      auth_url: https://cloud.example:5000
      application_credential_id: abc
      application_credential_secret: hunter2-secret
  split:
    auth:
      auth_url: https://cloud.example:5000
      username: broker
      user_domain_id: default
      project_id: 0123
  nothing:
    region_name: north
  no-url:
    auth: {username: broker, password: hunter2-secret, user_domain_name: Default, project_id: 0123}
  no-password:
    auth: {auth_url: "https://cloud.example", username: broker, user_domain_name: Default, project_id: 0123}
  no-user:
    auth: {auth_url: "https://cloud.example", password: hunter2-secret, user_domain_name: Default, project_id: 0123}
  no-domain:
    auth: {auth_url: "https://cloud.example", username: broker, password: hunter2-secret, project_id: 0123}
  no-project:
    auth: {auth_url: "https://cloud.example", username: broker, password: hunter2-secret, user_domain_name: Default}
  no-project-domain:
    auth: {auth_url: "https://cloud.example", username: broker, password: hunter2-secret, user_domain_name: Default, project_name: p}
  no-secret:
    auth: {auth_url: "https://cloud.example", application_credential_id: abc}
  bad-url:
    auth: {auth_url: "cloud.example:5000", username: broker, password: hunter2-secret, user_domain_name: Default, project_id: 0123}
  secret-url:
    auth: {auth_url: "https://broker:hunter2-secret@cloud.example", username: broker, password: hunter2-secret, user_domain_name: Default, project_id: 0123}
  bad-ca:
    cacert: /nonexistent/ca.pem
    auth: {auth_url: "https://cloud.example", username: broker, password: hunter2-secret, user_domain_name: Default, project_id: 0123}
`

// unset hides the variables of whoever runs the tests.
func unset(t *testing.T) {
	t.Helper()
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "OS_") {
			t.Setenv(name, "")
		}
	}
	t.Chdir(t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
}

func write(t *testing.T, name, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o700))
	require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
}

func TestLoadCloudsYAML(t *testing.T) {
	unset(t)
	write(t, "clouds.yaml", cloudsYAML)
	write(t, "secure.yaml", "clouds:\n  split:\n    auth:\n      password: hunter2-secret\n")
	tests := []struct {
		name, osCloud                                           string
		user, password, domain, project, projectDomain, appCred string
		region                                                  string
		face                                                    gophercloud.Availability
		wrong                                                   string
	}{
		{name: "office", user: "broker", password: "hunter2-secret", domain: "Staff", project: "desktops",
			projectDomain: "Default", region: "north", face: "internal"},
		{osCloud: "office", user: "broker", password: "hunter2-secret", domain: "Staff", project: "desktops",
			projectDomain: "Default", region: "north", face: "internal"},
		{name: "credential", osCloud: "office", user: "abc", appCred: "hunter2-secret", face: "public"},
		{name: "split", user: "broker", password: "hunter2-secret", domain: "default", project: "0123", face: "public"},
		{name: "elsewhere", wrong: `"elsewhere" not found`},
		{name: "nothing", wrong: "no auth section"},
		{name: "no-url", wrong: "missing: auth.auth_url"},
		{name: "no-password", wrong: "missing: auth.password"},
		{name: "no-user", wrong: "missing: auth.username (or user_id)"},
		{name: "no-domain", wrong: "missing: auth.user_domain_name (or user_domain_id)"},
		{name: "no-project", wrong: "missing: auth.project_name (or project_id)"},
		{name: "no-project-domain", wrong: "missing: auth.project_domain_name (or project_domain_id)"},
		{name: "no-secret", wrong: "missing: auth.application_credential_secret"},
		{name: "bad-url", wrong: "auth.auth_url is not an address"},
		{name: "secret-url", wrong: "auth.auth_url contains a user name or password"},
		{name: "bad-ca", wrong: "/nonexistent/ca.pem"},
	}
	for _, test := range tests {
		t.Run(test.name+test.osCloud, func(t *testing.T) {
			t.Setenv("OS_CLOUD", test.osCloud)
			c, err := cloud.Load(test.name)
			if test.wrong != "" {
				require.ErrorContains(t, err, test.wrong)
				require.ErrorContains(t, err, test.name)
				require.NotContains(t, err.Error(), "hunter2")
				return
			}
			require.NoError(t, err)
			user, password, domain, project, projectDomain, appCred := cloud.Credentials(c)
			require.Equal(t, []string{test.user, test.password, test.domain, test.project, test.projectDomain, test.appCred},
				[]string{user, password, domain, project, projectDomain, appCred})
			require.Equal(t, test.region, c.Region)
			require.Equal(t, test.face, c.Interface)
		})
	}
}

func TestLoadFileTrouble(t *testing.T) {
	tests := map[string]string{
		"clouds: {office: {auth: hunter2-secret}}":        "cannot unmarshal",
		"clouds: {office: {auth: {password: [hunter2]}}}": "cannot unmarshal",
		"\tclouds:": "yaml",
		"":          "EOF",
	}
	for text, wrong := range tests {
		t.Run(text, func(t *testing.T) {
			unset(t)
			write(t, "clouds.yaml", text)
			_, err := cloud.Load("office")
			require.ErrorContains(t, err, wrong)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
	t.Run("no file", func(t *testing.T) {
		unset(t)
		_, err := cloud.Load("office")
		require.ErrorContains(t, err, "clouds.yaml")
		require.ErrorContains(t, err, "not found")
	})
	t.Run("where OS_CLIENT_CONFIG_FILE says", func(t *testing.T) {
		unset(t)
		file := filepath.Join(t.TempDir(), "mine.yaml")
		write(t, file, cloudsYAML)
		t.Setenv("OS_CLIENT_CONFIG_FILE", file)
		_, err := cloud.Load("office")
		require.NoError(t, err)
	})
}

func TestLoadEnvironment(t *testing.T) {
	full := map[string]string{
		"OS_AUTH_URL": "https://cloud.example:5000/v3", "OS_USERNAME": "broker", "OS_PASSWORD": `hunter2 "\: {x}#é`,
		"OS_USER_DOMAIN_NAME": "Staff", "OS_PROJECT_NAME": "desktops", "OS_PROJECT_DOMAIN_NAME": "Default",
		"OS_REGION_NAME": "north", "OS_INTERFACE": "internal",
	}
	tests := []struct {
		name, without string
		with          map[string]string
		want          []string // user, password, domain, project, project's domain, secret
		insecure      bool
		wrong         string
	}{
		{name: "all", want: []string{"broker", full["OS_PASSWORD"], "Staff", "desktops", "Default", ""}},
		{name: "insecure", with: map[string]string{"OS_INSECURE": "1"}, insecure: true,
			want: []string{"broker", full["OS_PASSWORD"], "Staff", "desktops", "Default", ""}},
		{name: "ids", with: map[string]string{"OS_USER_ID": "u1", "OS_PROJECT_ID": "p1"},
			want: []string{"u1", full["OS_PASSWORD"], "", "p1", "", ""}},
		{name: "one domain for both", without: "OS_USER_DOMAIN_NAME OS_PROJECT_DOMAIN_NAME", with: map[string]string{"OS_DOMAIN_NAME": "All"},
			want: []string{"broker", full["OS_PASSWORD"], "All", "desktops", "All", ""}},
		{name: "application credential", without: "OS_USERNAME OS_PASSWORD OS_USER_DOMAIN_NAME OS_PROJECT_NAME OS_PROJECT_DOMAIN_NAME",
			with: map[string]string{"OS_APPLICATION_CREDENTIAL_ID": "ac", "OS_APPLICATION_CREDENTIAL_SECRET": "hunter2"},
			want: []string{"ac", "", "", "", "", "hunter2"}},
		{name: "nothing", without: "OS_AUTH_URL", wrong: "OS_CLOUD"},
		{name: "no user", without: "OS_USERNAME", wrong: "missing: OS_USERNAME (or OS_USER_ID)"},
		{name: "no password", without: "OS_PASSWORD", wrong: "missing: OS_PASSWORD"},
		{name: "no domain", without: "OS_USER_DOMAIN_NAME", wrong: "missing: OS_USER_DOMAIN_NAME (or OS_USER_DOMAIN_ID)"},
		{name: "no project", without: "OS_PROJECT_NAME", wrong: "missing: OS_PROJECT_NAME (or OS_PROJECT_ID)"},
		{name: "no project's domain", without: "OS_PROJECT_DOMAIN_NAME", wrong: "missing: OS_PROJECT_DOMAIN_NAME"},
		{name: "several", without: "OS_USERNAME OS_PASSWORD", wrong: "missing: OS_USERNAME (or OS_USER_ID), OS_PASSWORD"},
		{name: "unclear", with: map[string]string{"OS_INSECURE": "perhaps"}, wrong: "OS_INSECURE"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			unset(t)
			for name, value := range full {
				if !strings.Contains(" "+test.without+" ", " "+name+" ") {
					t.Setenv(name, value)
				}
			}
			for name, value := range test.with {
				t.Setenv(name, value)
			}
			c, err := cloud.Load("")
			if test.wrong != "" {
				require.ErrorContains(t, err, test.wrong)
				require.NotContains(t, err.Error(), "hunter2")
				return
			}
			require.NoError(t, err)
			user, password, domain, project, projectDomain, secret := cloud.Credentials(c)
			require.Equal(t, test.want, []string{user, password, domain, project, projectDomain, secret})
			require.Equal(t, "north", c.Region)
			require.Equal(t, gophercloud.AvailabilityInternal, c.Interface)
			require.Equal(t, test.insecure, c.Transport.TLSClientConfig.InsecureSkipVerify)
		})
	}
}

func TestAs(t *testing.T) {
	base, err := cloud.New(gophercloud.AuthOptions{
		IdentityEndpoint: "https://cloud.example", Username: "broker", Password: "hunter2", DomainName: "Staff", TenantName: "desktops",
	})
	require.NoError(t, err)
	for domain, want := range map[string]string{"": "Staff", "Guests": "Guests"} {
		c := base.As("u117", "secret", domain)
		user, password, userDomain, project, projectDomain, _ := cloud.Credentials(c)
		require.Equal(t, []string{"u117", "secret", want, "desktops", "Staff"},
			[]string{user, password, userDomain, project, projectDomain}, "the project keeps its domain")
		require.Same(t, base.Transport, c.Transport)
		require.Equal(t, cloud.AuthURL(base), cloud.AuthURL(c))
	}
	user, password, _, _, _, _ := cloud.Credentials(base)
	require.Equal(t, []string{"broker", "hunter2"}, []string{user, password})
}

func TestPrintingShowsNoSecrets(t *testing.T) {
	o := newOpenStack(t)
	c := o.connect(t)
	config := o.config(t)
	inside := struct {
		c cloud.Config
		C *cloud.Config
	}{config, &config}
	for _, value := range []any{config, &config, c, *c, inside, &inside, struct{ c any }{c}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			text := fmt.Sprintf(verb, value)
			require.NotContains(t, text, "w+örd")
			require.NotContains(t, text, tokens)
		}
	}
}
