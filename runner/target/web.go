package target

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/deskstorm/deskstorm/internal/authority"
)

// web is the executor of an HTTP target.
type web struct {
	config Web

	mu     sync.Mutex
	client *http.Client
	token  string
}

func (w *web) open() (*http.Client, string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.client != nil {
		return w.client, w.token, nil
	}
	token := ""
	if w.config.Token.Given() {
		var err error
		if token, err = w.config.Token.Read(); err != nil {
			return nil, "", err
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	if w.config.CA != "" {
		roots, err := authority.Read(w.config.CA)
		if err != nil {
			return nil, "", err
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	w.client, w.token = &http.Client{
		Transport: transport, Timeout: w.config.Timeout,
		// A redirect could take the token elsewhere, and make a GET of a POST.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, token
	return w.client, w.token, nil
}

func (w *web) do(ctx context.Context, s *HTTP) (string, error) {
	client, token, err := w.open()
	if err != nil {
		return "", err
	}
	request, err := http.NewRequestWithContext(ctx, s.Method, strings.TrimSuffix(w.config.URL, "/")+s.Path, strings.NewReader(s.Body))
	if err != nil {
		return "", errors.New("the path is not one")
	}
	if s.Body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	request.Header.Set("User-Agent", "deskstorm")
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	output := string(body)
	if response.StatusCode/100 == 2 || slices.Contains(s.Fine, response.StatusCode) {
		return output, nil // it is done, even if the answer's end was lost
	}
	if err != nil {
		return "", fmt.Errorf("%s; reading the answer: %w", response.Status, err)
	}
	return output, fmt.Errorf("%s%s", response.Status, said(problem(response.Header.Get("Content-Type"), body)))
}

// maxAnswer is how much of an answer is read, in bytes: the state of a lab has some 160 for each host.
const maxAnswer = 4 << 20

// problem is what an error's answer says: the detail of a problem (RFC 9457), or all of it.
func problem(kind string, body []byte) string {
	var p struct {
		Title  string `json:"title"`
		Detail string `json:"detail"`
	}
	if strings.HasPrefix(kind, "application/problem+json") && json.Unmarshal(body, &p) == nil && p.Title+p.Detail != "" {
		if p.Detail != "" {
			return p.Detail
		}
		return p.Title
	}
	return string(body)
}
