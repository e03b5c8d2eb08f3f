package contract

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/stretchr/testify/require"
)

// session is somebody who is logged in, with a client per service.
type session struct {
	auth                                         gophercloud.AuthOptions
	userID, projectID                            string
	identity, compute, placement, image, network *gophercloud.ServiceClient
}

func login(t *testing.T, c Cloud, auth gophercloud.AuthOptions) *session {
	t.Helper()
	provider, err := openstack.AuthenticatedClient(t.Context(), auth)
	require.NoError(t, err)
	s := &session{auth: auth}
	type maker func(*gophercloud.ProviderClient, gophercloud.EndpointOpts) (*gophercloud.ServiceClient, error)
	for client, make := range map[**gophercloud.ServiceClient]maker{
		&s.identity: openstack.NewIdentityV3, &s.compute: openstack.NewComputeV2, &s.placement: openstack.NewPlacementV1,
		&s.image: openstack.NewImageV2, &s.network: openstack.NewNetworkV2,
	} {
		*client, err = make(provider, gophercloud.EndpointOpts{Region: c.Region})
		require.NoError(t, err)
	}
	s.compute.Microversion, s.placement.Microversion = "2.93", "1.39" // the last of release Zed
	token := s.ask(t, s.identity, "GET", "auth/tokens", nil, "X-Subject-Token: "+s.token())
	require.Equal(t, http.StatusOK, token.status, token.body)
	s.userID = token.text(t, "token", "user", "id")
	if auth.Scope != nil {
		s.projectID = token.text(t, "token", "project", "id")
	}
	return s
}

func (s *session) token() string { return s.identity.Token() }

// object is JSON.
type object = map[string]any

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   string
}

// at looks a value up in a JSON body, by keys and indices.
func (a answer) at(t *testing.T, path ...any) any {
	t.Helper()
	var v any
	require.NoError(t, json.Unmarshal([]byte(a.body), &v), a.body)
	for _, step := range path {
		switch step := step.(type) {
		case string:
			m, ok := v.(object)
			require.True(t, ok, "%v in %s", path, a.body)
			require.Contains(t, m, step, a.body)
			v = m[step]
		case int:
			list, ok := v.([]any)
			require.True(t, ok && step < len(list), "%v in %s", path, a.body)
			v = list[step]
		}
	}
	return v
}

func (a answer) text(t *testing.T, path ...any) string {
	t.Helper()
	text, ok := a.at(t, path...).(string)
	require.True(t, ok, "%v in %s", path, a.body)
	return text
}

// keys are those of a JSON object in the body.
func (a answer) keys(t *testing.T, path ...any) []string {
	t.Helper()
	m, ok := a.at(t, path...).(object)
	require.True(t, ok, "%v in %s", path, a.body)
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	return keys
}

// ask sends a request as it is: a body that is a string goes out unchanged, anything else as JSON. Headers are "Name: value";
// one without a value takes the header away. The path is below the client's endpoint, or a whole URL.
func (s *session) ask(t *testing.T, client *gophercloud.ServiceClient, method, path string, body any, headers ...string) answer {
	t.Helper()
	a, err := s.try(t.Context(), client, method, path, body, headers...)
	require.NoError(t, err)
	return a
}

func (s *session) try(ctx context.Context, client *gophercloud.ServiceClient, method, path string, body any, headers ...string) (answer, error) {
	text, raw := body.(string)
	if !raw && body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return answer{}, err
		}
		text = string(encoded)
	}
	url := path
	if !strings.HasPrefix(path, "http") {
		url = client.ServiceURL(path)
	}
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader([]byte(text)))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("X-Auth-Token", client.Token())
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if client.Microversion != "" {
		r.Header.Set("OpenStack-API-Version", client.Type+" "+client.Microversion)
	}
	for _, h := range headers {
		if name, value, _ := strings.Cut(h, ": "); value != "" {
			r.Header.Set(name, value)
		} else {
			r.Header.Del(name)
		}
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(read)}, err
}

// refused is the answer in a gophercloud error; it must have the status.
func refused(t *testing.T, err error, status int) answer {
	t.Helper()
	var unexpected gophercloud.ErrUnexpectedResponseCode
	require.True(t, errors.As(err, &unexpected), "%d expected, got %v", status, err)
	require.Equal(t, status, unexpected.Actual, "%s", unexpected.Body)
	return answer{unexpected.Actual, unexpected.ResponseHeader, string(unexpected.Body)}
}
