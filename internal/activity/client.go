package activity

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Client sends reports to an exporter. It is safe for concurrent use.
type Client struct {
	url   string
	token string
	http  *http.Client
}

// NewClient makes a client for the exporter at base: an https URL, or an http one of this machine. The token is a
// ClientToken or a SiteToken. A nil http.Client is one with Go's defaults and a timeout of 10 s.
func NewClient(base, token string, client *http.Client) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, errors.New("the exporter's URL cannot be read; it looks like https://exporter.example:9877")
	}
	switch {
	case u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("the exporter's URL must have a host, and no user, query or fragment")
	case u.Scheme == "https":
	case u.Scheme == "http" && loopback(u.Hostname()):
	default:
		return nil, errors.New("the exporter's URL must begin with https://, because the token travels with each report")
	}
	if token == "" {
		return nil, errors.New("the exporter's token is empty")
	}
	if client == nil {
		client = &http.Client{Timeout: 10 * time.Second}
	}
	own := *client
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{url: u.JoinPath(Path).String(), token: token, http: &own}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// RefusedError is an answer without results: the whole request was refused.
type RefusedError struct {
	Status int           // HTTP's
	Title  string        // the problem's, if there was one
	After  time.Duration // when the exporter wants to be asked again; 0 if it did not say
}

func (e *RefusedError) Error() string {
	if e.Title == "" {
		return fmt.Sprintf("the exporter answered with status %d", e.Status)
	}
	return fmt.Sprintf("the exporter answered with status %d: %s", e.Status, e.Title)
}

// maxAfter bounds what is believed of Retry-After.
const maxAfter = 5 * time.Minute

// Send sends the reports, at most MaxReports, and returns what became of each. An error says that nothing is known of any of
// them: they may be sent again, and will not be counted twice.
func (c *Client) Send(ctx context.Context, reports []Report) ([]Result, error) {
	body, err := json.Marshal(Request{Reports: reports})
	if err != nil {
		return nil, fmt.Errorf("encoding reports: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("sending reports: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("sending reports: %w", err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, MaxBody))
	if err != nil {
		return nil, fmt.Errorf("reading what became of reports: %w", err)
	}
	var answer struct {
		Answer
		Title string `json:"title"`
	}
	switch kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind {
	case "application/json", "application/problem+json":
		// What cannot be read has no results.
		_ = json.Unmarshal(data, &answer)
	}
	if len(answer.Results) != len(reports) {
		return nil, &RefusedError{Status: resp.StatusCode, Title: answer.Title, After: retryAfter(resp.Header)}
	}
	return answer.Results, nil
}

func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.ParseUint(h.Get("Retry-After"), 10, 31)
	if err != nil {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, maxAfter)
}
