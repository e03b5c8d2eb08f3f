package keystone

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// The words of keystone/exception.py.
const (
	sayUnauthorized = service.NeedsAuthentication
	sayUnexpected   = "An unexpected error prevented the server from fulfilling your request."
	sayNoToken      = "Failed to validate token"
	sayNoFernet     = "Could not recognize Fernet token"
	sayNoSubject    = "No token in the request"
	sayNoMethod     = "Attempted to authenticate with an unsupported method."
)

// Fail answers in Keystone's form.
func (k *Keystone) Fail(w http.ResponseWriter, r *http.Request, status int, message string) {
	k.writeError(w, r, status, message, nil)
}

// writeError is Fail with more fields.
func (k *Keystone) writeError(w http.ResponseWriter, _ *http.Request, status int, message string, more map[string]any) {
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Keystone uri="`+k.URL()+`"`)
	}
	e := map[string]any{"code": status, "title": http.StatusText(status), "message": message}
	for field, value := range more {
		e[field] = value
	}
	service.WriteJSON(w, status, map[string]any{"error": e})
}

// noRoute answers what there is no path or method for: Keystone's framework does, in its own words.
func (k *Keystone) noRoute(w http.ResponseWriter, _ *http.Request, status int, _ string) {
	if status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", w.Header().Get("Allow")+", OPTIONS")
		service.WriteJSON(w, status, map[string]string{"message": "The method is not allowed for the requested URL."})
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n<p>The requested URL was not "+
		"found on the server. If you entered the URL manually please check your spelling and try again.</p>\n")
}

// refuse answers 401; why is only told where Keystone would.
func (k *Keystone) refuse(w http.ResponseWriter, r *http.Request, why string) {
	message := sayUnauthorized
	if k.config.InsecureDebug {
		message = why + " (Disable insecure_debug mode to suppress these details.)"
	}
	k.Fail(w, r, http.StatusUnauthorized, message)
}

func (k *Keystone) badRequest(w http.ResponseWriter, r *http.Request, attribute, target string) {
	k.Fail(w, r, http.StatusBadRequest, "Expecting to find "+attribute+" in "+target+". The server could not comply with "+
		"the request since it is either malformed or otherwise incorrect. The client is assumed to be in error.")
}

func (k *Keystone) forbidden(w http.ResponseWriter, r *http.Request, action string) {
	k.Fail(w, r, http.StatusForbidden, sayForbidden(action))
}

func sayForbidden(action string) string {
	return "You are not authorized to perform the requested action: " + action + "."
}

func (k *Keystone) notFound(w http.ResponseWriter, r *http.Request, what, id string) {
	k.Fail(w, r, http.StatusNotFound, "Could not find "+what+": "+id+".")
}

func (k *Keystone) conflict(w http.ResponseWriter, r *http.Request, what string) {
	k.Fail(w, r, http.StatusConflict, "Conflict occurred attempting to store "+what)
}

// read reads a body; it answers 400 and returns false if it is none.
func (k *Keystone) read(w http.ResponseWriter, r *http.Request, v any) bool {
	err := service.ReadJSON(r, v)
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return true
	case errors.As(err, &wrong):
		field := wrong.Field[strings.LastIndex(wrong.Field, ".")+1:]
		k.Fail(w, r, http.StatusBadRequest, "Invalid input for field '"+field+"': a "+wrong.Value+" is not of type '"+wrong.Type.String()+"'")
	default:
		k.badRequest(w, r, "valid JSON", "request body")
	}
	return false
}

// given tells whether a text of a body is there, if it must be, and not empty; else it answers 400.
func (k *Keystone) given(w http.ResponseWriter, r *http.Request, field string, value *string, required bool) bool {
	switch {
	case value == nil && required:
		k.Fail(w, r, http.StatusBadRequest, "'"+field+"' is a required property")
		return false
	case value != nil && *value == "":
		k.Fail(w, r, http.StatusBadRequest, "Invalid input for field '"+field+"': '' is too short")
		return false
	}
	return true
}

func (k *Keystone) named(w http.ResponseWriter, r *http.Request, name *string, required bool) bool {
	return k.given(w, r, "name", name, required)
}
