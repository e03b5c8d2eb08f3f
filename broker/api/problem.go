package api

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/deskstorm/deskstorm/broker/client"
)

// Classes that only this API has, beside those of package client.
const (
	NotFound     client.Class = "not-found"     // no such desktop, binding or path
	OperatorOnly client.Class = "operator-only" // the operator's token is missing or wrong, or the broker has none
)

// clientGone stands in logs and metrics for a client that hung up, with the status that nginx logs for it. No answer has it.
const (
	clientGone       client.Class = "client-gone"
	statusClientGone int          = 499
)

// kind is what the API makes of a class of failures.
type kind struct {
	class  client.Class
	status int
	title  string
	again  bool // it passes by itself: the answer says when to ask again
}

// kinds has a line for each class.
//
// An expired token of the cloud is 502, not 401: it is the broker's own, and another password from the user would not help.
func kinds() []kind {
	return []kind{
		{class: client.WrongPassword, status: 401, title: "Wrong user or password"},
		{class: client.AccountLocked, status: 403, title: "The account is locked"},
		{class: client.DirectoryDown, status: 503, title: "The directory cannot be reached"},
		{class: client.DirectorySlow, status: 504, title: "The directory did not answer in time"},
		{class: client.NoAllocator, status: 403, title: "No allocator serves this user"},
		{class: client.PoolEmpty, status: 503, title: "No desktop is ready", again: true},
		{class: client.DesktopDied, status: 502, title: "The desktop died while it was handed out"},
		{class: client.DesktopBusy, status: 409, title: "The desktop is another's"},
		{class: client.TokenExpired, status: 502, title: "A token expired and could not be renewed"},
		{class: client.CloudFailed, status: 502, title: "The cloud answered with an error"},
		{class: client.BuildTimeout, status: 504, title: "The desktop was not ready in time"},
		{class: client.ConsoleRefused, status: 502, title: "The desktop has no console to offer"},
		{class: client.BrokerDown, status: 503, title: "The broker does not answer"},
		{class: client.BrokerFailed, status: 500, title: "The broker failed"},
		{class: client.BadRequest, status: 400, title: "The request makes no sense"},
		{class: client.SessionNotFound, status: 404, title: "No such session"},
		{class: NotFound, status: 404, title: "Not found"},
		{class: OperatorOnly, status: 401, title: "For operators only"},
	}
}

// refusal is an error whose status is not the one of its class.
type refusal struct {
	status int
	class  client.Class
	detail string
	cause  string // for the log only
}

func (r *refusal) Error() string { return r.detail }

func badRequest(detail string) error { return &client.Error{Class: client.BadRequest, Message: detail} }

// problem is the body of a failure's answer (RFC 9457).
type problem struct {
	Type      string       `json:"type"`
	Title     string       `json:"title"`
	Status    int          `json:"status"`
	Detail    string       `json:"detail"`
	Instance  string       `json:"instance"`
	Class     client.Class `json:"class"`
	Step      client.Step  `json:"step,omitempty"`
	Steps     []timing     `json:"steps,omitempty"`
	RequestID string       `json:"request_id"`
}

// failure is what an answer, a log line and a metric say of an error.
type failure struct {
	class  client.Class // empty: nothing failed
	status int
	step   client.Step
	steps  []client.Timing
	detail string
	cause  string // for the log only
}

// explain says what an error is. Handlers fail with the Broker's errors, with refusals and with what nobody foresaw.
func (s *server) explain(c *call, err error) failure {
	if err == nil {
		return failure{}
	}
	var f failure
	if r, ok := errors.AsType[*refusal](err); ok {
		f = failure{class: r.class, status: r.status, detail: r.detail, cause: r.cause}
	} else if e, ok := errors.AsType[*client.Error](err); ok {
		f = failure{class: e.Class, step: e.Step, steps: e.Steps, detail: e.Message}
		if e.Err != nil {
			f.cause = e.Err.Error()
		}
	} else {
		f = failure{class: client.BrokerFailed, cause: err.Error()}
	}
	if _, ok := errors.AsType[hangUp](err); ok || c.gone() {
		f.class, f.status = clientGone, statusClientGone
		return f
	}
	k, ok := s.kinds[f.class]
	if !ok {
		f.cause = "unknown class " + strconv.Quote(string(f.class)) + ": " + f.cause
		k = s.kinds[client.BrokerFailed]
		f.class = k.class
	}
	if f.status == 0 {
		f.status = k.status
	}
	if f.detail == "" {
		f.detail = k.title + "; the broker's log has more under the request's id"
	}
	return f
}

// fail answers with a problem.
func (s *server) fail(c *call, err error) {
	c.failure = s.explain(c, err)
	f := c.failure
	if c.w.status != 0 {
		return // the answer had begun: its length does not fit now, which the client sees
	}
	if f.class == clientGone {
		// Nobody reads this, unless it is the broker that goes.
		c.w.status = f.status
		f.class, f.status, f.detail = client.BrokerFailed, http.StatusServiceUnavailable, "the request was cut short"
	}
	k := s.kinds[f.class]
	switch {
	case f.status == http.StatusUnauthorized && f.class == OperatorOnly:
		c.w.Header().Set("WWW-Authenticate", `Bearer realm="operators"`)
	case f.status == http.StatusUnauthorized:
		// RFC 9110, section 15.5.2, asks for a challenge, and no registered scheme takes a password from a body.
		c.w.Header().Set("WWW-Authenticate", `Deskstorm-Session realm="desktops"`)
	case k.again || f.status == http.StatusServiceUnavailable && f.class == client.BrokerFailed:
		seconds := (s.cfg.RetryAfter + time.Second - 1) / time.Second
		c.w.Header().Set("Retry-After", strconv.Itoa(int(seconds)))
	}
	if len(f.steps) > 0 {
		c.steps = f.steps
	}
	p := problem{
		Type: "urn:deskstorm:problem:" + string(f.class), Title: k.title, Status: f.status, Detail: f.detail,
		Instance: "urn:deskstorm:request:" + c.id, Class: f.class, Step: f.step, Steps: timings(f.steps), RequestID: c.id,
	}
	if err := c.reply(f.status, "application/problem+json", p); err != nil {
		c.failure.cause += "; " + err.Error()
	}
}

// timing is a step in JSON.
type timing struct {
	Step    client.Step `json:"step"`
	Seconds float64     `json:"seconds"`
}

func timings(steps []client.Timing) []timing {
	list := make([]timing, len(steps))
	for i, t := range steps {
		list[i] = timing{Step: t.Step, Seconds: t.Took.Seconds()}
	}
	return list
}
