// Package service is what the simulated OpenStack services have in common, as the real ones share their middleware: who
// asks (a token's owner), routes with the templates that requests are counted by, microversions, and JSON bodies.
package service

import (
	"net/http"
	"slices"
)

// Caller is whom a token belongs to.
type Caller struct {
	UserID      string
	UserName    string
	ProjectID   string // empty: the token has no scope
	ProjectName string
	Roles       []string
}

// Admin tells whether the caller has the role that the services' default policies ask of administrators.
func (c *Caller) Admin() bool { return slices.Contains(c.Roles, "admin") }

// Tokens says whom a token belongs to; nil if it is not valid now.
type Tokens interface {
	Caller(token string) *Caller
}

// Fail answers a request with an error in a service's own form.
type Fail func(w http.ResponseWriter, r *http.Request, status int, message string)

// NeedsAuthentication is the message of an answer of 401, Keystone's and keystonemiddleware's.
const NeedsAuthentication = "The request you have made requires authentication."

// Unauthorized answers as keystonemiddleware does before a request reaches a service. identity is Keystone's URL, commonly
// without its version (www_authenticate_uri).
func Unauthorized(w http.ResponseWriter, identity string) {
	w.Header().Set("WWW-Authenticate", `Keystone uri="`+identity+`"`)
	WriteJSON(w, http.StatusUnauthorized, map[string]any{"error": map[string]any{
		"code": http.StatusUnauthorized, "title": "Unauthorized",
		"message": NeedsAuthentication,
	}})
}
