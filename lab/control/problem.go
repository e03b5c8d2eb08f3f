package control

import (
	"encoding/json"
	"errors"
	"net/http"
)

// refusal is why a request is not done.
type refusal struct {
	status int
	class  string
	detail string
}

func (r *refusal) Error() string { return r.detail }

func badRequest(detail string) error {
	return &refusal{http.StatusBadRequest, "bad-request", detail}
}

// problem is the body of an error (RFC 9457).
type problem struct {
	Type   string `json:"type"` // "urn:deskstorm:lab:" and the class: bad-request, not-found, conflict, target, closed, failed
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

func fail(w http.ResponseWriter, err error) {
	r, ok := errors.AsType[*refusal](err)
	if !ok {
		r = &refusal{http.StatusInternalServerError, "failed", err.Error()}
	}
	write(w, r.status, "application/problem+json", problem{
		Type: "urn:deskstorm:lab:" + r.class, Title: http.StatusText(r.status), Status: r.status, Detail: err.Error(),
	})
}

func write(w http.ResponseWriter, status int, kind string, v any) {
	text, err := json.Marshal(v)
	if err != nil { // a value of ours that JSON cannot hold
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // the client may have gone
}
