package serve

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

//go:embed page.html
var page []byte

const (
	jsonKind    = "application/json"
	maxBody     = 4 << 10 // bytes; a request is a few words
	maxReport   = 64 << 20
	maxRunsList = 500
)

// routes has all paths. A page of another origin that a browser has open may not change anything.
func (s *Server) routes() (http.Handler, error) {
	metrics, err := s.metrics.handler()
	if err != nil {
		return nil, err
	}
	policy, err := pagePolicy()
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("Cache-Control", "no-cache")
		_, _ = w.Write(page)
	})
	mux.HandleFunc("GET /v1/state", func(w http.ResponseWriter, r *http.Request) {
		write(w, http.StatusOK, jsonKind,
			s.state(r.Context()))
	})
	mux.HandleFunc("GET /v1/runs", s.listRuns)
	mux.HandleFunc("GET /v1/runs/{id}", s.showRun)
	mux.HandleFunc("GET /runs/{id}/report", s.report)
	mux.HandleFunc("POST /v1/jobs/{job}/run", s.change(func(_ context.Context, job string, o order) error {
		return s.scheduler.RunNow(job, o.Force)
	}))
	mux.HandleFunc("POST /v1/jobs/{job}/cancel", s.change(func(_ context.Context, job string,
		_ order) error {
		return s.scheduler.Cancel(job)
	}))
	mux.HandleFunc("POST /v1/jobs/{job}/pause", s.change(func(ctx context.Context, job string, o order) error {
		return s.scheduler.Pause(ctx, job, o.by)
	}))
	mux.HandleFunc("POST /v1/jobs/{job}/resume", s.change(func(ctx context.Context, job string,
		_ order) error {
		return s.scheduler.Resume(ctx, job)
	}))
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "healthy\n") })
	mux.HandleFunc("GET /-/ready", func(w http.ResponseWriter, _ *http.Request) {
		if s.stopping.Load() {
			http.Error(w, "stopping", http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, "ready\n")
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, &refusal{http.StatusNotFound, "not-found", r.Method + " " + r.URL.Path + " is not there: see docs/serve.md."})
	})
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fail(w, &refusal{http.StatusForbidden, "cross-origin", "A page of another origin may not change anything here."})
	}))
	return secure(guard.Handler(mux)), nil
}

// secure sets headers that hold for all answers.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY") // a page around it could have its buttons clicked
		h.Set("Referrer-Policy", "no-referrer")
		next.ServeHTTP(w, r)
	})
}

// pagePolicy lets the page load nothing, and run nothing but its own script.
func pagePolicy() (string, error) {
	inside := func(tag string) (string, error) {
		_, rest, ok := bytes.Cut(page, []byte("<"+tag+">"))
		text, _, end := bytes.Cut(rest, []byte("</"+tag+">"))
		if !ok || !end {
			return "", fmt.Errorf("the page has no %s", tag)
		}
		sum := sha256.Sum256(text)
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'", nil
	}
	style, err := inside("style")
	script, errScript := inside("script")
	return "default-src 'none'; style-src " + style + "; script-src " + script + "; connect-src 'self'; img-src data:; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'", errors.Join(err, errScript)
}

// reportPolicy gives a report an origin of its own: it may draw its charts, but not ask this service for anything.
const reportPolicy = "sandbox allow-scripts allow-downloads; default-src 'none'; style-src 'unsafe-inline'; " +
	"script-src 'unsafe-inline'; img-src data:; font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func (s *Server) report(w http.ResponseWriter, r *http.Request) {
	if s.options.Reports == nil {
		fail(w, ErrNoRun)
		return
	}
	var text bytes.Buffer
	if err := s.options.Reports.HTML(r.Context(), r.PathValue("id"), &limited{&text, maxReport}); err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", reportPolicy)
	_, _ = w.Write(text.Bytes())
}

// limited is a writer that takes some bytes and no more.
type limited struct {
	to   io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	if len(p) > l.left {
		return 0, fmt.Errorf("the report is longer than %d bytes", maxReport)
	}
	l.left -= len(p)
	return l.to.Write(p)
}

func (s *Server) listRuns(w http.ResponseWriter, r *http.Request) {
	limit := shownRuns
	if text := r.FormValue("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxRunsList {
			fail(w, &refusal{http.StatusBadRequest, "bad-request", fmt.Sprintf("limit: expected a whole number from 1 to %d.",
				maxRunsList)})
			return
		}
		limit = n
	}
	entries, err := []Entry{}, error(nil)
	if s.options.History != nil {
		entries, err = s.options.History.List(r.Context(), r.FormValue("job"), limit)
	}
	if err != nil {
		fail(w, err)
		return
	}
	write(w, http.StatusOK, jsonKind, map[string]any{"runs": entries})
}

func (s *Server) showRun(w http.ResponseWriter, r *http.Request) {
	if s.options.History == nil {
		fail(w, ErrNoRun)
		return
	}
	run, err := s.options.History.One(r.Context(), r.PathValue("id"))
	if err != nil {
		fail(w, err)
		return
	}
	write(w, http.StatusOK, jsonKind, run)
}

// order is what a request to change something may say.
type order struct {
	Force bool `json:"force"` // also in a blackout and in maintenance

	by string // who asks, if that is known
}

// change makes a handler of what changes a job.
func (s *Server) change(do func(ctx context.Context, job string, o order) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var o order
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
		d.DisallowUnknownFields()
		if err := d.Decode(&o); err != nil && !errors.Is(err, io.EOF) {
			fail(w, &refusal{http.StatusBadRequest, "bad-request", `Expected nothing, or JSON such as {"force": true}.`})
			return
		}
		o.by, _, _ = r.BasicAuth() // that the user is right was checked before
		job := r.PathValue("job")
		if err := do(r.Context(), job, o); err != nil {
			fail(w, err)
			return
		}
		s.log.Info("done as asked", "what", r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:], "job", job, "by", o.by, "from",
			r.RemoteAddr)
		write(w, http.StatusAccepted, jsonKind, s.state(r.Context()))
	}
}
