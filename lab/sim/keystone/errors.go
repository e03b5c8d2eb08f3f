package keystone

import (
	"net/http"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// The words of keystone/exception.py.
const (
	sayUnauthorized = "The request you have made requires authentication."
	sayUnexpected   = "An unexpected error prevented the server from fulfilling your request."
	sayNoToken      = "Could not find token."
)

// Fail answers in Keystone's form.
func (k *Keystone) Fail(w http.ResponseWriter, _ *http.Request, status int, message string) {
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Keystone uri="`+k.URL()+`"`)
	}
	service.WriteJSON(w, status, map[string]any{"error": map[string]any{
		"code": status, "title": http.StatusText(status), "message": message,
	}})
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
	k.Fail(w, r, http.StatusForbidden, "You are not authorized to perform the requested action: "+action+".")
}

func (k *Keystone) notFound(w http.ResponseWriter, r *http.Request, what, id string) {
	k.Fail(w, r, http.StatusNotFound, "Could not find "+what+": "+id+".")
}
