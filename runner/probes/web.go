package probes

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/deskstorm/deskstorm/internal/authority"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 16 << 20

// web asks a server over HTTP. It uses no proxy, which would be asked with it, and follows no redirects, which would take credentials
// elsewhere.
type web struct {
	base    string
	client  *http.Client
	prepare func(*http.Request) error // adds credentials; nil: none
}

func newWeb(base, ca string, timeout time.Duration) (*web, error) {
	transport := &http.Transport{TLSClientConfig: &tls.Config{}, DisableKeepAlives: true}
	if ca != "" {
		roots, err := authority.Read(ca)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig.RootCAs = roots
	}
	refuse := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &web{base: base, client: &http.Client{Transport: transport, Timeout: timeout, CheckRedirect: refuse}}, nil
}

// get returns an answer's status and body.
func (w *web) get(ctx context.Context, path string, query url.Values) (int, []byte, error) {
	u, err := url.Parse(w.base)
	if err != nil {
		return 0, nil, errors.New("its URL cannot be read")
	}
	u = u.JoinPath(path)
	u.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return 0, nil, err
	}
	if w.prepare != nil {
		if err := w.prepare(request); err != nil {
			return 0, nil, err
		}
	}
	response, err := w.client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err == nil && len(body) > maxAnswer {
		err = fmt.Errorf("it has more than %d bytes", maxAnswer)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("reading the answer: %w", err)
	}
	return response.StatusCode, body, nil
}
