package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
)

const (
	maxAnswer    = 1 << 20 // of the broker, in bytes: a hundred times a session with a long chain of certificates
	maxHeader    = 64 << 10
	maxMessage   = 500 // of the broker's problems, in characters
	maxSessionID = 128 // as in the broker's openapi.yaml
	maxIdle      = 256 // connections kept open: a load generator's users share one driver
	undoTimeout  = 10 * time.Second
)

// BrokerConfig says where the broker is and how to get there. No proxy is used: it would be measured with the broker.
type BrokerConfig struct {
	URL         string                                                  // such as "https://broker.example:8443"; a path is a prefix
	TLS         *tls.Config                                             // nil: the system's certificates
	DialContext func(context.Context, string, string) (net.Conn, error) // nil: a net.Dialer
	Timeout     time.Duration                                           // of each call; a login may wait for a desktop to be built. 0: the context's only
}

// Broker is the driver of the broker's API.
type Broker struct {
	base    string // without a slash at its end
	host    string
	baseErr error // why the URL is none
	http    http.Client
	timeout time.Duration
}

var _ Driver = (*Broker)(nil)

// NewBroker returns a driver. Nothing is dialed yet; a URL that makes no sense fails each call with BadRequest.
func NewBroker(cfg BrokerConfig) *Broker {
	b := &Broker{timeout: cfg.Timeout}
	b.base, b.host, b.baseErr = parseBase(cfg.URL)
	dial := cfg.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	b.http = http.Client{
		// HTTP/1.1 only, which is what this transport speaks: with HTTP/2 all users of a load generator would share one
		// connection, which no office does.
		Transport: &http.Transport{
			DialContext:         dial,
			TLSClientConfig:     cfg.TLS,
			MaxIdleConns:        maxIdle,
			MaxIdleConnsPerHost: maxIdle,
			IdleConnTimeout:     90 * time.Second,

			MaxResponseHeaderBytes: maxHeader,
		},
		// A password does not follow redirects.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return b
}

// CheckURL says what is wrong with a broker's URL. The error does not repeat what may be secret in it.
func CheckURL(text string) error {
	_, _, err := parseBase(text)
	return err
}

func parseBase(text string) (base, host string, err error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", "", errors.New("the broker's URL cannot be parsed") // the reason would quote it, with what it may hold
	case u.User != nil:
		return "", "", errors.New("the broker's URL has a user in it: thin clients need none")
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return "", "", errors.New("the broker's URL is not like https://broker.example:8443") // without it: it may hold a password
	case u.RawQuery != "" || u.Fragment != "":
		return "", "", errors.New("the broker's URL has a query or a fragment")
	}
	return strings.TrimSuffix(u.String(), "/"), u.Host, nil
}

// Login takes a user to a desktop. A cancelled login leaves no session behind, nor does one whose answer makes no sense.
func (b *Broker) Login(ctx context.Context, l Login) (*Session, error) {
	body, err := json.Marshal(struct {
		User       string            `json:"user"`
		Password   string            `json:"password"`
		Seat       string            `json:"seat,omitempty"`
		ThinClient string            `json:"thin_client,omitempty"`
		Site       string            `json:"site,omitempty"`
		Tags       map[string]string `json:"tags,omitempty"`
	}{l.User, l.Password, l.Seat, l.ThinClient, l.Site, l.Tags})
	if err != nil {
		return nil, &Error{Class: BadRequest, Message: "the login cannot be written as JSON", Err: err}
	}
	var answer struct {
		ID      string `json:"id"`
		Desktop struct {
			ID        string `json:"id"`
			Name      string `json:"name"`
			Pool      string `json:"pool"`
			Allocator string `json:"allocator"`
		} `json:"desktop"`
		Console consoleAnswer `json:"console"`
		Steps   []stepAnswer  `json:"steps"`
		Elapsed float64       `json:"elapsed_seconds"`
		Lease   float64       `json:"lease_seconds"`
	}
	id, err := b.call(ctx, "logging in", http.MethodPost, "/v1/sessions", body, &answer)
	if err != nil {
		return nil, err
	}
	if answer.ID == "" || len(answer.ID) > maxSessionID {
		return nil, b.failed(id, "answered a login without a session's id")
	}
	session := &Session{ID: answer.ID, Desktop: Desktop(answer.Desktop)}
	session.Console, err = answer.Console.check()
	if err == nil {
		session.Steps, err = steps(answer.Steps)
	}
	if err == nil {
		session.Elapsed, err = seconds(answer.Elapsed)
	}
	if err == nil {
		session.Lease, err = seconds(answer.Lease)
	}
	if err != nil {
		b.undo(ctx, session)
		return nil, b.failed(id, "answered a login with "+err.Error())
	}
	return session, nil
}

// undo ends a session that the caller does not get. If it cannot, the broker has to find out by itself.
func (b *Broker) undo(ctx context.Context, s *Session) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	_ = b.Logout(ctx, s)
}

// Console asks where the session's desktop is, with a new ticket.
func (b *Broker) Console(ctx context.Context, s *Session) (Console, error) {
	var answer struct {
		Console consoleAnswer `json:"console"`
	}
	id, err := b.call(ctx, "asking for the console", http.MethodPost, sessionPath(s)+"/console", nil, &answer)
	if err != nil {
		return Console{}, err
	}
	console, err := answer.Console.check()
	if err != nil {
		return Console{}, b.failed(id, "answered a question for the console with "+err.Error())
	}
	return console, nil
}

// Renew makes the session last for another lease.
func (b *Broker) Renew(ctx context.Context, s *Session) error {
	_, err := b.call(ctx, "renewing the session", http.MethodPost, sessionPath(s)+"/renew", nil, nil)
	return err
}

// Logout ends the session.
func (b *Broker) Logout(ctx context.Context, s *Session) error {
	_, err := b.call(ctx, "logging out", http.MethodDelete, sessionPath(s), nil, nil)
	if e, ok := errors.AsType[*Error](err); ok && e.Class == SessionNotFound {
		return nil
	}
	return err
}

// ReportBroken tells the broker that the session's desktop does not work, and why, in words for people.
func (b *Broker) ReportBroken(ctx context.Context, s *Session, reason string) error {
	body, err := json.Marshal(struct {
		Reason string `json:"reason"`
	}{reason})
	if err != nil {
		return &Error{Class: BadRequest, Message: "the reason cannot be written as JSON", Err: err}
	}
	_, err = b.call(ctx, "reporting a broken desktop", http.MethodPost, sessionPath(s)+"/report-broken", body, nil)
	return err
}

// Close closes the connections that wait for the next call.
func (b *Broker) Close() error {
	b.http.CloseIdleConnections()
	return nil
}

func sessionPath(s *Session) string { return "/v1/sessions/" + url.PathEscape(s.ID) }

// call makes one request and decodes its answer's JSON, if one is wanted. It returns the request's id. Its errors hold nothing
// of the path, because a session's id is in it.
func (b *Broker) call(ctx context.Context, doing, method, path string, body []byte, answer any) (string, error) {
	if b.baseErr != nil {
		return "", &Error{Class: BadRequest, Message: b.baseErr.Error()}
	}
	if b.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, b.timeout)
		defer cancel()
	}
	id := rand.Text()
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	r, err := http.NewRequestWithContext(ctx, method, b.base+path, bytes.NewReader(body))
	if err != nil {
		return id, &Error{Class: BadRequest, Message: "the broker's URL makes no request", Err: withoutURL(err)}
	}
	r.Header.Set("X-Request-Id", id)
	r.Header.Set("Accept", "application/json, application/problem+json")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	response, err := b.http.Do(r)
	if err != nil {
		return id, b.unreachable(doing, id, connected.Load(), err)
	}
	defer response.Body.Close()
	// All is read, so that the connection can be used again.
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return id, b.unreachable(doing, id, connected.Load(), err)
	}
	if len(text) > maxAnswer {
		return id, b.failed(id, fmt.Sprintf("answered with more than %d bytes", maxAnswer))
	}
	return id, b.read(response, id, text, answer)
}

// read understands an answer, or says what is wrong with it.
func (b *Broker) read(response *http.Response, id string, text []byte, answer any) error {
	media, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	success := response.StatusCode/100 == 2
	switch {
	case !success && media == "application/problem+json":
		return b.problem(response, id, text)
	case !success:
		return b.failed(id, fmt.Sprintf("answered with status %d and %s instead of a problem; is this the broker?",
			response.StatusCode, named(media)))
	case answer == nil:
		return nil
	case media != "application/json":
		return b.failed(id, fmt.Sprintf("answered with %s instead of JSON; is this the broker?", named(media)))
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return b.failed(id, "answered with JSON that makes no sense") // the reason may quote a ticket
	}
	return nil
}

func named(media string) string {
	if media == "" {
		return "something untyped"
	}
	return fmt.Sprintf("%.60q", media)
}

// problem makes an error of a problem (RFC 9457).
func (b *Broker) problem(response *http.Response, id string, text []byte) error {
	var p struct {
		Title     string       `json:"title"`
		Detail    string       `json:"detail"`
		Class     Class        `json:"class"`
		Step      Step         `json:"step"`
		Steps     []stepAnswer `json:"steps"`
		RequestID string       `json:"request_id"`
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return b.failed(id, fmt.Sprintf("answered with status %d and a problem that makes no sense", response.StatusCode))
	}
	message := printable(p.Detail)
	if message == "" {
		message = printable(p.Title)
	}
	if p.RequestID != "" && len(p.RequestID) <= maxSessionID {
		id = printable(p.RequestID)
	}
	if !p.Class.known() {
		return b.failed(id, fmt.Sprintf("answered with status %d: %s", response.StatusCode, message))
	}
	e := &Error{Class: p.Class, Message: message, RequestID: id}
	if p.Step.known() {
		e.Step = p.Step
	}
	e.Steps, _ = steps(p.Steps) // the failure matters more than times that make no sense
	return e
}

// printable makes one bounded line of what the other side says.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	if runes := []rune(text); len(runes) > maxMessage {
		text = string(runes[:maxMessage]) + "..."
	}
	return strings.TrimSpace(text)
}

func (b *Broker) failed(id, message string) error {
	return &Error{Class: BrokerFailed, Message: "the broker at " + b.host + " " + message, RequestID: id}
}

// unreachable says what is wrong with the way to the broker. A caller who gave up gets context.Canceled: that is nobody's
// failure.
func (b *Broker) unreachable(doing, id string, connected bool, err error) error {
	err = withoutURL(err)
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s at the broker %s: %w", doing, b.host, err)
	}
	timeout, _ := errors.AsType[net.Error](err)
	late := errors.Is(err, context.DeadlineExceeded) || timeout != nil && timeout.Timeout()
	e := &Error{Class: BrokerDown, Err: err}
	if connected {
		e.RequestID = id
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		e.Message = fmt.Sprintf("the broker's name in %s cannot be resolved: %s", b.host, dns.Err)
	} else if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		e.Message = fmt.Sprintf("the broker at %s does not prove who it is: %v", b.host, err)
	} else if late && !connected {
		e.Message = fmt.Sprintf("no connection to the broker at %s in time", b.host)
	} else if late {
		e.Message = fmt.Sprintf("no answer from the broker at %s in time", b.host)
	} else if !connected {
		e.Message = fmt.Sprintf("no connection to the broker at %s: %s", b.host, printable(err.Error()))
	} else {
		e.Message = fmt.Sprintf("the connection to the broker at %s broke: %s", b.host, printable(err.Error()))
	}
	return e
}

// withoutURL takes the URL out of an error of package http, because a session's id is in it.
func withoutURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// known tells whether this package has the class: others are the API's own and mean nothing to a thin client.
func (c Class) known() bool {
	switch c {
	case WrongPassword, AccountLocked, DirectoryDown, DirectorySlow, NoAllocator, PoolEmpty, DesktopDied, DesktopBusy, TokenExpired,
		CloudFailed, BuildTimeout, ConsoleRefused, BrokerDown, BrokerFailed, BadRequest, SessionNotFound:
		return true
	}
	return false
}

func (s Step) known() bool {
	switch s {
	case StepAuth, StepMatch, StepAllocate, StepBoot, StepConsole:
		return true
	}
	return false
}

// consoleAnswer is a console in the API's JSON.
type consoleAnswer struct {
	Host    string    `json:"host"`
	Port    int       `json:"port"`
	TLSPort int       `json:"tls_port"`
	Ticket  string    `json:"ticket"`
	Expires time.Time `json:"expires_at"`
	CA      string    `json:"ca"`
	Subject string    `json:"subject"`
}

func (c consoleAnswer) check() (Console, error) {
	switch {
	case c.Host == "":
		return Console{}, errors.New("a console without a host")
	case c.Port < 0 || c.Port > 65535 || c.TLSPort < 0 || c.TLSPort > 65535 || c.Port == 0 && c.TLSPort == 0:
		return Console{}, errors.New("a console without a possible port")
	}
	return Console(c), nil
}

// stepAnswer is a timing in the API's JSON.
type stepAnswer struct {
	Step    Step    `json:"step"`
	Seconds float64 `json:"seconds"`
}

// steps leaves out what a later broker may have beside the known ones: the caller finds their time unexplained.
func steps(list []stepAnswer) ([]Timing, error) {
	timings := make([]Timing, 0, len(list))
	seen := make(map[Step]bool, len(list))
	for _, s := range list {
		took, err := seconds(s.Seconds)
		if err != nil {
			return nil, err
		}
		if !s.Step.known() || seen[s.Step] {
			continue
		}
		seen[s.Step] = true
		timings = append(timings, Timing{Step: s.Step, Took: took})
	}
	return timings, nil
}

func seconds(s float64) (time.Duration, error) {
	const longest = 24 * time.Hour
	if s < 0 || s > longest.Seconds() {
		return 0, errors.New("times that make no sense")
	}
	return time.Duration(s * float64(time.Second)), nil
}
