package serve

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/deskstorm/deskstorm/runner/schedule"
)

// refusal is why a request is not done.
type refusal struct {
	status int
	class  string
	detail string
}

func (r *refusal) Error() string { return r.detail }

// problem is the body of an error (RFC 9457).
type problem struct {
	Type   string `json:"type"` // "urn:deskstorm:serve:" and the class
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// refusalOf says what an error means to who asked.
func refusalOf(err error) *refusal {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r
	}
	for _, known := range []struct {
		err    error
		status int
		class  string
	}{
		{schedule.ErrNoJob, http.StatusNotFound, "not-found"},
		{ErrNoRun, http.StatusNotFound, "not-found"},
		{schedule.ErrBusy, http.StatusConflict, "busy"},
		{schedule.ErrNotRunning, http.StatusConflict, "not-running"},
		{schedule.ErrClosed, http.StatusConflict, "closed"},
		{schedule.ErrNotLeading, http.StatusConflict, "not-leading"},
		{schedule.ErrStopped, http.StatusServiceUnavailable, "stopping"},
	} {
		if errors.Is(err, known.err) {
			return &refusal{known.status, known.class, err.Error()}
		}
	}
	return &refusal{http.StatusInternalServerError, "failed", err.Error()}
}

func fail(w http.ResponseWriter, err error) {
	r := refusalOf(err)
	write(w, r.status, "application/problem+json", problem{
		Type: "urn:deskstorm:serve:" + r.class, Title: http.StatusText(r.status), Status: r.status, Detail: r.detail,
	})
}

func write(w http.ResponseWriter, status int, kind string, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "what is to be shown is no JSON: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // who asked may have gone
}
