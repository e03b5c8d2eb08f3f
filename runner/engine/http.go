package engine

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/deskstorm/deskstorm/runner/experiment"
)

// maxOutput is how much of an answer or of a process' output is kept, in bytes. More fails the activity.
const maxOutput = 4 << 20

// maxRedirects is that of Python's requests, which the toolkit uses.
const maxRedirects = 30

type timeout struct{ connect, read time.Duration }

func (r *run) timeout(t experiment.Timeout) (timeout, error) {
	if t.Var == "" {
		return timeout{t.Connect, t.Read}, nil
	}
	value := r.values.Substitute(t.Var)
	if both, ok := experiment.Seconds(value); ok {
		return timeout{both, both}, nil
	}
	if list, ok := value.([]any); ok && len(list) == 2 {
		connect, ok1 := experiment.Seconds(list[0])
		read, ok2 := experiment.Seconds(list[1])
		if ok1 && ok2 {
			return timeout{connect, read}, nil
		}
	}
	return timeout{}, fmt.Errorf("%s is neither a number of seconds nor a list of two; if it comes from the environment, give it "+
		"env_var_type: float", t.Var)
}

// http does what an activity of the provider http asks for. Its output has status, headers and body.
func (r *run) http(ctx context.Context, h *experiment.HTTP) (any, error) {
	limits, err := r.timeout(h.Timeout)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: limits.connect}).DialContext,
		TLSHandshakeTimeout: limits.connect,
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: !h.VerifyTLS}, // the experiment says so
		DisableKeepAlives:   true,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(_ *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects {
			return fmt.Errorf("more than %d redirects", maxRedirects)
		}
		return nil
	}}
	for try := 0; ; try++ {
		output, err := r.request(ctx, client, h, limits.read)
		if err == nil || ctx.Err() != nil || try == h.MaxRetries || !again(h.Method, err) {
			return output, err
		}
	}
}

// errNoAnswer is that a server did not answer.
var errNoAnswer = errors.New("no answer")

// again says whether a request may be sent again: if it has not been sent, or does the same when it is done twice (RFC 9110,
// 9.2.2).
func again(method string, err error) bool {
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return true
	}
	idempotent := []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodTrace}
	return errors.Is(err, errNoAnswer) && slices.Contains(idempotent, method)
}

var errTooLong = errors.New("activity took too long to complete")

func (r *run) request(ctx context.Context, client *http.Client, h *experiment.HTTP, read time.Duration) (any, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	request, err := r.newRequest(ctx, h)
	if err != nil {
		return nil, err
	}
	extend := func() {}
	if read > 0 {
		// The time begins with the connection, and again with each part of the answer.
		timer := time.AfterFunc(math.MaxInt64, func() { cancel(errTooLong) })
		defer timer.Stop()
		extend = func() { timer.Reset(read) }
		request = request.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
			GotConn: func(httptrace.GotConnInfo) { extend() },
		}))
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, r.noAnswer(ctx, h, err)
	}
	defer response.Body.Close()
	extend()
	body, err := io.ReadAll(io.LimitReader(&progress{response.Body, extend}, maxOutput+1))
	if err != nil {
		return nil, r.noAnswer(ctx, h, err)
	}
	if len(body) > maxOutput {
		return nil, failedf("the answer of %s has more than %d bytes", h.URL, maxOutput)
	}
	headers := map[string]any{}
	for name, values := range response.Header {
		headers[name] = strings.Join(values, ", ")
	}
	output := map[string]any{"status": int64(response.StatusCode), "headers": headers}
	if response.Header.Get("Content-Type") == "application/json" {
		if output["body"], err = experiment.DecodeJSON(body); err != nil {
			return nil, failedf("the answer of %s says that it is JSON, and is not", h.URL)
		}
	} else {
		output["body"] = decode(body, response.Header.Get("Content-Type"))
	}
	if h.ExpectedStatus != 0 && response.StatusCode != h.ExpectedStatus {
		return output, failedf("expected status %d, found %d", h.ExpectedStatus, response.StatusCode)
	}
	return output, nil
}

// noAnswer says why there is no answer, without the address that net/url's errors have: it may have a secret in it.
func (r *run) noAnswer(ctx context.Context, h *experiment.HTTP, err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errTooLong):
		return &failure{errTooLong}
	case cause != nil:
		return fmt.Errorf("the request to %s was ended: %w", h.URL, cause)
	}
	return failedf("failed to connect to %s: %w: %w", h.URL, errNoAnswer, err)
}

// progress tells of each part of a body.
type progress struct {
	io.Reader
	part func()
}

func (p *progress) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	p.part()
	return n, err
}

func (r *run) newRequest(ctx context.Context, h *experiment.HTTP) (*http.Request, error) {
	address, err := url.Parse(quote(experiment.Text(r.values.Substitute(h.URL))))
	if err != nil {
		return nil, fmt.Errorf("%s is no address", h.URL)
	}
	headers, _ := r.values.Substitute(h.Headers).(map[string]any)
	arguments := h.Arguments
	if !r.values.Empty() {
		arguments = r.values.Substitute(arguments)
	}
	var body []byte
	kind := ""
	switch {
	case arguments == nil:
	case h.Method == http.MethodGet:
		query, err := form(arguments)
		if err != nil {
			return nil, err
		}
		if address.RawQuery != "" && query != "" {
			query = "&" + query
		}
		address.RawQuery += query
	case headers["Content-Type"] == "application/json":
		if body, err = json.Marshal(arguments); err != nil {
			return nil, fmt.Errorf("the arguments are no JSON: %w", err)
		}
	default:
		text, err := form(arguments)
		if err != nil {
			return nil, err
		}
		body = []byte(text)
		if _, ok := arguments.(string); !ok {
			kind = "application/x-www-form-urlencoded"
		}
	}
	request, err := http.NewRequestWithContext(ctx, h.Method, address.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("the request to %s cannot be made", h.URL)
	}
	request.Header.Set("User-Agent", "deskstorm")
	request.Header.Set("Accept", "*/*")
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	for name, value := range headers {
		if strings.EqualFold(name, "Host") {
			request.Host = experiment.Text(value)
			continue
		}
		request.Header.Set(name, experiment.Text(value))
	}
	return request, nil
}

// quote escapes what may not stand in an address, but not what is escaped already: a value that was substituted may have spaces.
func quote(address string) string {
	var b strings.Builder
	for _, c := range []byte(address) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// form encodes arguments as Python's requests does: a text is taken as it is, lists in a mapping are repeated, None is left out.
func form(arguments any) (string, error) {
	values := url.Values{}
	add := func(name string, value any) {
		list, ok := value.([]any)
		if !ok {
			list = []any{value}
		}
		for _, v := range list {
			if v != nil {
				values.Add(name, experiment.Text(v))
			}
		}
	}
	switch a := arguments.(type) {
	case string:
		return a, nil
	case map[string]any:
		for name, value := range a {
			add(name, value)
		}
	case []any:
		for _, item := range a {
			pair, ok := item.([]any)
			if !ok || len(pair) != 2 {
				return "", errors.New("expected arguments that are a mapping, a text, or a list of pairs of name and value")
			}
			add(experiment.Text(pair[0]), pair[1])
		}
	default:
		return "", errors.New("expected arguments that are a mapping, a text, or a list of pairs of name and value")
	}
	return values.Encode(), nil
}

// decode makes a text of bytes: in UTF-8, or else in Latin-1, which has a character for each byte.
func decode(data []byte, contentType string) string {
	_, parameters, _ := mime.ParseMediaType(contentType)
	charset := strings.ToLower(parameters["charset"])
	if charset != "iso-8859-1" && utf8.Valid(data) {
		return string(data)
	}
	runes := make([]rune, len(data))
	for i, b := range data {
		runes[i] = rune(b)
	}
	return string(runes)
}
