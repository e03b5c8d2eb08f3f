package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gophercloud/gophercloud/v2"
)

// Kinds of failure that callers decide on, to be tested with errors.Is.
var (
	ErrNotFound     = errors.New("not found")
	ErrAmbiguous    = errors.New("several have this name") // names are not unique in OpenStack
	ErrConflict     = errors.New("not possible in its present state")
	ErrUnauthorized = errors.New("wrong user, password or token") // and a renewed token did not help
	ErrForbidden    = errors.New("not allowed for this user")
	ErrQuota        = errors.New("quota exhausted")
	// ErrUnavailable: the cloud does not answer, or answers that it cannot now, and went on so for as long as the Config lets
	// a call retry. Error.Status tells which.
	ErrUnavailable = errors.New("the cloud is not available")
	// ErrNotOffered: this cloud has no such thing, and trying again will not help.
	ErrNotOffered = errors.New("this cloud does not offer it")
)

// Error is a failed call. Its text holds no password and no token, whatever the cloud answered.
type Error struct {
	Op        string // what was being done, such as "creating server"
	Resource  string // what to, a name or ID
	Status    int    // HTTP's; 0: there was no answer
	RequestID string // under which the cloud's logs have it; empty: it gave none
	Message   string // the cloud's, or what happened on the way
	Retries   int    // that did not help
	Err       error  // one of the kinds above, or the context's; nil for what nobody decides on
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Resource != "" {
		b.WriteString(" " + e.Resource)
	}
	b.WriteString(": ")
	if e.Status != 0 {
		b.WriteString(strconv.Itoa(e.Status) + " ")
	}
	switch {
	case e.Message != "":
		b.WriteString(e.Message)
	case e.Err != nil:
		b.WriteString(e.Err.Error())
	default:
		b.WriteString(http.StatusText(e.Status))
	}
	switch e.Retries {
	case 0:
	case 1:
		b.WriteString(", after a retry")
	default:
		fmt.Fprintf(&b, ", after %d retries", e.Retries)
	}
	if e.RequestID != "" {
		b.WriteString(" (request " + e.RequestID + ")")
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// failure makes an Error of whatever gophercloud or the way to the cloud returned. The original is not wrapped: its text
// holds addresses, and those of consoles hold tokens.
func failure(ctx context.Context, op, resource string, err error, secrets []string) error {
	if err == nil {
		return nil
	}
	hide := func(text string) string { return shorten(hidden(text, secrets)) }
	e := &Error{Op: op, Resource: hide(resource)}
	var (
		answer gophercloud.ErrUnexpectedResponseCode
		inner  *Error
		onWay  *url.Error
	)
	switch {
	case errors.As(err, &inner):
		e.Status, e.RequestID, e.Err, e.Retries = inner.Status, inner.RequestID, inner.Err, inner.Retries
		said := *inner
		said.Status, said.RequestID, said.Retries = 0, "", 0 // once is enough
		e.Message = hide(said.Error())
		if ctx.Err() == nil && (errors.Is(e.Err, context.DeadlineExceeded) || errors.Is(e.Err, context.Canceled)) {
			e.Err = ErrUnavailable // the time was that of work for many callers, not this one's
		}
	case errors.As(err, &answer):
		e.Status = answer.Actual
		e.RequestID = hide(requestID(answer.ResponseHeader))
		e.Message = hide(message(answer))
		e.Err = kind(e.Status, e.Message)
	case ctx.Err() != nil:
		e.Err = ctx.Err()
		if cause := context.Cause(ctx); cause != e.Err {
			e.Message = hide(fmt.Sprintf("%v: %v", e.Err, cause))
		}
	case errors.As(err, &onWay):
		e.Err = ErrUnavailable
		e.Message = hide("no answer: " + onWay.Err.Error())
	default:
		e.Message = hide(err.Error())
		for _, kind := range []error{ErrNotFound, ErrAmbiguous, ErrUnauthorized, ErrNotOffered, ErrConflict} {
			if errors.Is(err, kind) {
				e.Err = kind
			}
		}
	}
	return e
}

// kind maps an answer. Quota is 403 in Nova and Keystone, 413 in old Novas, 409 in Neutron: only the text tells.
func kind(status int, message string) error {
	switch status {
	case http.StatusForbidden, http.StatusRequestEntityTooLarge, http.StatusConflict:
		if strings.Contains(strings.ToLower(message), "quota") {
			return ErrQuota
		}
	}
	switch status {
	case http.StatusUnauthorized:
		return ErrUnauthorized
	case http.StatusForbidden:
		return ErrForbidden
	case http.StatusNotFound, http.StatusGone:
		return ErrNotFound
	case http.StatusConflict:
		return ErrConflict
	case http.StatusNotAcceptable, http.StatusNotImplemented: // 406: a microversion that is gone after a downgrade
		return ErrNotOffered
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return ErrUnavailable
	}
	return nil
}

// requestID is the cloud's name for a request, in either of the spellings that its services use.
func requestID(h http.Header) string {
	if id := h.Get("X-Openstack-Request-Id"); id != "" {
		return id
	}
	return h.Get("X-Compute-Request-Id")
}

// message finds the sentence in an error's body. Every service wraps it in an object of another name.
func message(answer gophercloud.ErrUnexpectedResponseCode) string {
	var wrapped map[string]json.RawMessage
	if json.Unmarshal(answer.Body, &wrapped) == nil {
		for _, name := range slices.Sorted(maps.Keys(wrapped)) {
			var sentence struct {
				Message string `json:"message"`
			}
			if json.Unmarshal(wrapped[name], &sentence) == nil && sentence.Message != "" {
				return sentence.Message
			}
		}
	}
	// A proxy's page, or nothing. Its status says as much.
	return http.StatusText(answer.Actual)
}

// hidden replaces secrets, plain or as they look inside of addresses and JSON: clouds like to quote what they were sent.
func hidden(text string, secrets []string) string {
	var forms []string
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		forms = append(forms, secret, url.QueryEscape(secret), url.PathEscape(secret))
		if quoted, err := json.Marshal(secret); err == nil {
			forms = append(forms, string(quoted[1:len(quoted)-1]))
		}
	}
	// The longest first: one may be part of another.
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) })
	for _, form := range forms {
		text = strings.ReplaceAll(text, form, "[hidden]")
	}
	return text
}

// shorten makes one line of at most 400 bytes of what may be a page.
func shorten(text string) string {
	const most = 400
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	return text
}
