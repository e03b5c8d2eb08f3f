package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/deskstorm/deskstorm/broker/client"
)

// undoTimeout bounds the end of a session that nobody will ever use.
const undoTimeout = 30 * time.Second

type sessionAnswer struct {
	ID      string        `json:"id"`
	Desktop desktopOf     `json:"desktop"`
	Console consoleAnswer `json:"console"`
	Lease   float64       `json:"lease_seconds,omitempty"`
	Steps   []timing      `json:"steps"`
	Elapsed float64       `json:"elapsed_seconds"`
	Request string        `json:"request_id"`
}

type desktopOf struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Pool      string `json:"pool"`
	Allocator string `json:"allocator"`
}

type consoleAnswer struct {
	Host    string    `json:"host"`
	Port    int       `json:"port,omitempty"`
	TLSPort int       `json:"tls_port,omitempty"`
	Ticket  string    `json:"ticket,omitempty"`
	Expires time.Time `json:"expires_at,omitzero"`
	CA      string    `json:"ca,omitempty"`
	Subject string    `json:"subject,omitempty"`
}

func console(c client.Console) consoleAnswer {
	return consoleAnswer{Host: c.Host, Port: c.Port, TLSPort: c.TLSPort, Ticket: c.Ticket, Expires: c.Expires.UTC(), CA: c.CA, Subject: c.Subject}
}

// login is POST /v1/sessions.
func (s *server) login(c *call) error {
	c.login = true
	s.metrics.inFlight.Inc()
	defer s.metrics.inFlight.Dec()
	body, err := c.body()
	if err != nil {
		return err
	}
	request, err := parseLogin(body)
	if err != nil {
		return err
	}
	c.user = request.User
	// After the body: a client that sends it slowly holds nobody up.
	if s.logins != nil {
		select {
		case s.logins <- struct{}{}:
			defer func() { <-s.logins }()
		default:
			return &refusal{status: http.StatusServiceUnavailable, class: client.BrokerFailed,
				detail: "too many logins at once; ask again later"}
		}
	}
	session, err := s.broker.Login(c.r.Context(), request)
	if err != nil {
		return err
	}
	c.session, c.steps = shortHash(session.ID), session.Steps
	if c.gone() {
		s.undo(c, session.ID)
		return c.r.Context().Err()
	}
	c.w.Header().Set("Location", "/v1/sessions/"+url.PathEscape(session.ID))
	d := session.Desktop
	err = c.answer(http.StatusCreated, sessionAnswer{
		ID:      session.ID,
		Desktop: desktopOf{ID: d.ID, Name: d.Name, Pool: d.Pool, Allocator: d.Allocator},
		Console: console(session.Console),
		Lease:   session.Lease.Seconds(),
		Steps:   timings(session.Steps),
		Elapsed: time.Since(c.begun).Seconds(),
		Request: c.id,
	})
	if err != nil {
		c.w.Header().Del("Location")
		s.undo(c, session.ID)
	}
	return err
}

// undo ends a session whose id nobody has learned.
func (s *server) undo(c *call, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.r.Context()), undoTimeout)
	defer cancel()
	if err := s.broker.Logout(ctx, id); err != nil {
		s.logger.ErrorContext(ctx, "ending the session of a client that is gone", "request_id", c.id, "session", c.session, "error", err)
	}
}

func parseLogin(body []byte) (client.Login, error) {
	var l client.Login
	err := parse(body,
		field{"user", true, text(&l.User, 1, maxUser)},
		// An empty one would make the directory's bind anonymous, which succeeds (RFC 4513, section 5.1.2).
		field{"password", true, text(&l.Password, 1, maxPassword)},
		field{"seat", false, text(&l.Seat, 0, maxPlace)},
		field{"thin_client", false, text(&l.ThinClient, 0, maxPlace)},
		field{"site", false, text(&l.Site, 0, maxPlace)},
		field{"tags", false, tags(&l.Tags)},
	)
	if err != nil {
		return client.Login{}, err
	}
	return l, nil
}

// sessionID returns the id in the path.
func (c *call) sessionID() (string, error) {
	id := c.r.PathValue("id")
	if err := checkText("the session's id", id, 1, maxID); err != nil {
		return "", err
	}
	c.session = shortHash(id)
	return id, nil
}

// session is GET /v1/sessions/{id}.
func (s *server) session(c *call) error {
	id, err := c.sessionID()
	if err != nil {
		return err
	}
	session, err := s.broker.Session(c.r.Context(), id)
	if err != nil {
		return err
	}
	c.user = session.User
	return c.answer(http.StatusOK, struct {
		ID         string    `json:"id"`
		User       string    `json:"user"`
		Seat       string    `json:"seat"`
		ThinClient string    `json:"thin_client"`
		Site       string    `json:"site"`
		DesktopID  string    `json:"desktop_id"`
		Allocator  string    `json:"allocator"`
		Began      time.Time `json:"began_at"`
	}{id, session.User, session.Seat, session.ThinClient, session.Site, session.DesktopID, session.Allocator, session.Began.UTC()})
}

// logout is DELETE /v1/sessions/{id}.
func (s *server) logout(c *call) error {
	id, err := c.sessionID()
	if err != nil {
		return err
	}
	return c.done(s.broker.Logout(c.r.Context(), id))
}

// renew is POST /v1/sessions/{id}/renew.
func (s *server) renew(c *call) error {
	id, err := c.sessionID()
	if err != nil {
		return err
	}
	return c.done(s.broker.Renew(c.r.Context(), id))
}

// console is POST /v1/sessions/{id}/console.
func (s *server) console(c *call) error {
	id, err := c.sessionID()
	if err != nil {
		return err
	}
	where, err := s.broker.Console(c.r.Context(), id)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, struct {
		Console consoleAnswer `json:"console"`
		Elapsed float64       `json:"elapsed_seconds"`
		Request string        `json:"request_id"`
	}{console(where), time.Since(c.begun).Seconds(), c.id})
}

// reportBroken is POST /v1/sessions/{id}/report-broken.
func (s *server) reportBroken(c *call) error {
	id, err := c.sessionID()
	if err != nil {
		return err
	}
	reason, err := c.reason()
	if err != nil {
		return err
	}
	return c.done(s.broker.ReportBroken(c.r.Context(), id, reason))
}

// reason reads a body that says why a desktop is broken.
func (c *call) reason() (string, error) {
	body, err := c.body()
	if err != nil {
		return "", err
	}
	var reason string
	if err := parse(body, field{"reason", true, text(&reason, 1, maxReason)}); err != nil {
		return "", err
	}
	return reason, nil
}
