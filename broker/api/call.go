package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/deskstorm/deskstorm/broker/client"
)

// maxRequestID is how long a caller's own request id may be, in bytes.
const maxRequestID = 64

// call is a request while it is served, with what its log line will say.
type call struct {
	w     *recorder
	r     *http.Request
	id    string
	begun time.Time

	login   bool // it is counted as one
	steps   []client.Timing
	session string // its short hash
	user    string
	failure failure
}

// recorder remembers the status of the answer.
type recorder struct {
	http.ResponseWriter
	status int // 0: no answer yet
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// serve is what all routes have in common.
func (s *server) serve(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{w: &recorder{ResponseWriter: w}, r: r, id: requestID(r), begun: time.Now()}
		w.Header().Set("X-Request-Id", c.id)
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		defer s.finish(c, rt)
		if err := s.handle(c, rt); err != nil {
			s.fail(c, err)
		}
	})
}

// handle runs the route's handler, and makes an error of its panic.
func (s *server) handle(c *call, rt route) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				panic(p)
			}
			err = fmt.Errorf("panic: %v", p)
			s.logger.ErrorContext(c.r.Context(), "panic", "request_id", c.id, "route", rt.path, "stack", string(debug.Stack()))
		}
	}()
	if rt.operator {
		if err := s.checkOperator(c); err != nil {
			return err
		}
	}
	return rt.handle(c)
}

// finish counts and logs the request.
func (s *server) finish(c *call, rt route) {
	took := time.Since(c.begun)
	s.metrics.requests.WithLabelValues(rt.path, methodLabel(c.r.Method), strconv.Itoa(c.w.status)).Inc()
	if c.login {
		s.metrics.login(c.failure.class, c.steps, took)
	}

	level := slog.LevelInfo
	switch {
	case c.failure.class == client.BrokerFailed:
		level = slog.LevelError
	case rt.quiet:
		level = slog.LevelDebug
	}
	ctx := context.WithoutCancel(c.r.Context())
	if !s.logger.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 10)
	attrs = append(attrs, slog.String("request_id", c.id), slog.String("method", methodLabel(c.r.Method)),
		slog.String("route", rt.path), slog.Int("status", c.w.status), slog.Float64("seconds", took.Seconds()))
	add := func(name, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(name, value))
		}
	}
	add("session", c.session)
	add("class", string(c.failure.class))
	add("step", string(c.failure.step))
	add("detail", c.failure.detail)
	add("error", c.failure.cause)
	if s.logger.Enabled(ctx, slog.LevelDebug) {
		add("user", c.user)
	}
	s.logger.LogAttrs(ctx, level, "request", attrs...)
}

// hangUp is an answer that nobody took.
type hangUp struct{ error }

// reply answers with JSON.
func (c *call) reply(status int, contentType string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	c.serverTiming()
	c.w.Header().Set("Content-Type", contentType)
	c.w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	c.w.WriteHeader(status)
	_, err = c.w.Write(text)
	if err == nil {
		err = http.NewResponseController(c.w).Flush() // only then it is known whether somebody takes it
	}
	if err != nil {
		return hangUp{fmt.Errorf("writing the answer: %w", err)}
	}
	return nil
}

func (c *call) answer(status int, body any) error { return c.reply(status, "application/json", body) }

// done answers that what was asked is done and there is nothing to say about it.
func (c *call) done(err error) error {
	if err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// serverTiming tells the steps and all of the request in milliseconds, for people with a browser or curl (W3C Server Timing).
func (c *call) serverTiming() {
	text := make([]byte, 0, 160)
	for _, t := range c.steps {
		text = append(append(text, t.Step...), ";dur="...)
		text = strconv.AppendFloat(text, milliseconds(t.Took), 'f', 3, 64)
		text = append(text, ", "...)
	}
	text = strconv.AppendFloat(append(text, "total;dur="...), milliseconds(time.Since(c.begun)), 'f', 3, 64)
	c.w.Header().Set("Server-Timing", string(text))
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// gone tells whether the client hung up before it had its answer, or the broker shuts down.
func (c *call) gone() bool { return errors.Is(c.r.Context().Err(), context.Canceled) }

// requestID returns the request's own id, if it may stand in a log and in a URN as it is (RFC 8141), or a new one.
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	if id == "" || len(id) > maxRequestID {
		return rand.Text()
	}
	for _, b := range []byte(id) {
		switch {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', strings.IndexByte("-._:", b) >= 0:
		default:
			return rand.Text()
		}
	}
	return id
}

// shortHash stands for a session's id where others may read it. The id has so many random bits that nobody gets back to it.
func shortHash(sessionID string) string {
	sum := sha256.Sum256([]byte(sessionID))
	return hex.EncodeToString(sum[:4])
}
