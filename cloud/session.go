package cloud

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
	"golang.org/x/sync/singleflight"
)

// sharedWork bounds a login or a discovery that many callers wait for. It ends with none of their contexts.
const sharedWork = time.Minute

// session is a user who is logged in. As a http.RoundTripper it adds the token to requests, and renews it when the cloud does
// not take it any more. gophercloud does so as well, but there the one caller that renews does it for all with its own
// context: when that thin client gives up, all that wait with it fail.
type session struct {
	auth     func() gophercloud.AuthOptions
	retryFor time.Duration
	clock    clock
	below    *retrier
	renewals singleflight.Group // by the number of the token that is not taken any more
	held     atomic.Pointer[held]
}

// held is a token. The zero one is that of before the login.
type held struct {
	token, previous string
	number          int
}

func newSession(c Config) *session {
	s := &session{
		auth:     c.auth,
		retryFor: c.RetryFor,
		clock:    c.shared.clock,
		below:    &retrier{next: c.Transport, budget: &c.shared.budget, clock: c.shared.clock},
	}
	s.held.Store(&held{})
	return s
}

// call runs one exported call with its time for retries, and makes an Error of its error.
func (s *session) call(ctx context.Context, op, resource string, f func(context.Context) error, secrets ...string) error {
	retryFor := s.retryFor
	if retryFor == 0 {
		retryFor = DefaultRetryFor
	}
	c := &call{until: s.clock.Now().Add(retryFor)}
	err := f(withCall(ctx, c)) // first: it may bring new secrets
	err = failure(ctx, op, resource, err, append(s.secrets(), secrets...))
	var e *Error
	if errors.As(err, &e) {
		e.Retries += int(c.retries.Load())
	}
	return err
}

// login asks Keystone for a token. The catalog comes with it.
func (s *session) login(ctx context.Context) (*tokens.ServiceCatalog, error) {
	auth := s.auth()
	var answer struct {
		Token tokens.ServiceCatalog `json:"token"`
	}
	err := s.call(ctx, "logging in as", user(auth), func(ctx context.Context) error {
		if auth.Password == "" && auth.Username != "" && auth.Passcode == "" && auth.ApplicationCredentialName == "" {
			return fmt.Errorf("%w: the password is empty", ErrUnauthorized)
		}
		scope, err := auth.ToTokenV3ScopeMap()
		if err != nil {
			return err
		}
		body, err := auth.ToTokenV3CreateMap(scope)
		if err != nil {
			return err
		}
		base, err := versioned(auth.IdentityEndpoint, "v3")
		if err != nil {
			return err
		}
		keystone := client(s.below, "identity", base)
		resp, err := keystone.Post(ctx, keystone.ServiceURL("auth", "tokens"), body, &answer, nil)
		if err != nil {
			if gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
				return fmt.Errorf("%w: there is no Keystone v3 at %s; check the address to log in at", ErrNotFound, base)
			}
			return err
		}
		token := resp.Header.Get("X-Subject-Token")
		if token == "" {
			return fmt.Errorf("what answers at %s is no Keystone: it sent no token", base)
		}
		old := s.held.Load()
		s.held.Store(&held{token: token, previous: old.token, number: old.number + 1})
		return nil
	})
	return &answer.Token, err
}

func (s *session) RoundTrip(req *http.Request) (*http.Response, error) {
	held := s.held.Load()
	resp, err := s.below.RoundTrip(with(req, held.token))
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	next, err := again(req)
	if err != nil {
		return resp, nil
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 1<<16)
	_ = resp.Body.Close()
	if err := s.renew(req.Context(), held); err != nil {
		return nil, err
	}
	return s.below.RoundTrip(with(next, s.held.Load().token))
}

// renew replaces a token that was not taken. All who had the same one wait for one login.
func (s *session) renew(ctx context.Context, refused *held) error {
	done := s.renewals.DoChan(strconv.Itoa(refused.number), func() (any, error) {
		if s.held.Load() != refused {
			return nil, nil // it was replaced while the request was on its way
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sharedWork)
		defer cancel()
		_, err := s.login(ctx)
		return nil, err
	})
	select {
	case result := <-done:
		return result.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// secrets is what no error of this session may say.
func (s *session) secrets() []string {
	auth, held := s.auth(), s.held.Load()
	return []string{
		auth.Password, auth.Passcode, auth.ApplicationCredentialSecret, auth.TokenID, held.token, held.previous,
	}
}

func with(req *http.Request, token string) *http.Request {
	req = req.Clone(req.Context())
	req.Header.Set("X-Auth-Token", token)
	return req
}

// client is gophercloud's, with this way to the cloud and no token of its own.
func client(way http.RoundTripper, service, base string) *gophercloud.ServiceClient {
	p := &gophercloud.ProviderClient{HTTPClient: http.Client{Transport: way, CheckRedirect: sameHost}}
	p.UserAgent.Prepend("deskstorm")
	return &gophercloud.ServiceClient{ProviderClient: p, Endpoint: base, Type: service}
}

// sameHost keeps tokens and passwords where they belong, and a POST from becoming a GET.
func sameHost(req *http.Request, via []*http.Request) error {
	first := via[0]
	switch {
	case req.URL.Host != first.URL.Host || req.URL.Scheme != first.URL.Scheme:
		return fmt.Errorf("it redirects to %s://%s, which is not followed", req.URL.Scheme, req.URL.Host)
	case first.Method != http.MethodGet:
		return fmt.Errorf("it redirects a %s, which is not followed; check the address", first.Method)
	case len(via) >= 5:
		return errors.New("it redirects in circles")
	}
	return nil
}

// versioned is an endpoint's address up to its version, ending in a slash. Catalogs have addresses with and without version,
// and with a project behind it.
func versioned(endpoint, version string) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" {
		return "", errors.New("the address is not one")
	}
	u.RawQuery, u.Fragment = "", ""
	var path []string
	for _, part := range strings.Split(strings.Trim(u.Path, "/"), "/") {
		if isVersion(part) {
			break
		}
		if part != "" {
			path = append(path, part)
		}
	}
	if version != "" {
		path = append(path, version)
	}
	u.Path = "/"
	if len(path) > 0 {
		u.Path = "/" + strings.Join(path, "/") + "/"
	}
	return u.String(), nil
}

// isVersion tells "v3" and "v2.1".
func isVersion(part string) bool {
	return len(part) > 1 && part[0] == 'v' && strings.Trim(part[1:], "0123456789.") == ""
}
