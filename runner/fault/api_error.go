package fault

import (
	"context"
	"fmt"
	"strings"

	"github.com/deskstorm/deskstorm/runner/native"
)

func apiParameters() []native.Parameter {
	return []native.Parameter{
		{Name: "service", Type: native.Text, Doc: "which of OpenStack's: keystone, nova, placement, glance, neutron; all if absent"},
		{Name: "method", Type: native.Text, Doc: "of the requests; any if absent"},
		{Name: "path", Type: native.Text, Doc: "within the service, with * for what is between slashes: /v2.1/servers/*; any if absent"},
		{Name: "status", Type: native.Integer, Doc: "the answer, 400 to 599"},
		{Name: "retry_after", Type: native.Duration, Doc: "the answer's Retry-After"},
		{Name: "delay", Type: native.Duration, Doc: "how much later the answer comes"},
		{Name: "hang", Type: native.Boolean, Doc: "no answer comes"},
		{Name: "cut", Type: native.Boolean, Doc: "the connection is cut"},
		{Name: "skip", Type: native.Integer, Doc: "how many requests pass before"},
		{Name: "times", Type: native.Integer, Doc: "how many requests are hit; all if absent"},
		{Name: "probability", Type: native.Number, Doc: "of each request to be hit, above 0 to 1; 1 if absent"},
	}
}

func apiError() kind {
	return kind{
		name: "api.error", doc: "requests to OpenStack's APIs fail, wait or hang",
		parameters: apiParameters(),
		lab: func(_ context.Context, r *request) error {
			if !r.Has("status") && !r.Has("delay") && !r.Boolean("hang", false) && !r.Boolean("cut", false) {
				return native.Wrong("status", "say what happens to requests: status, delay, hang or cut")
			}
			r.whats("%s %s", r.requests(), r.happens())
			return r.switches("api", r.passed(apiParameters()))
		},
	}
}

// requests says which requests are hit.
func (r *request) requests() string {
	words := []string{"requests"}
	if method := r.Text("method", ""); method != "" {
		words = []string{method, "requests"}
	}
	words = append(words, "to", r.Text("service", "all services"))
	if path := r.Text("path", ""); path != "" {
		words = append(words, path)
	}
	if p := r.Number("probability", 1); p < 1 {
		words = append(words, fmt.Sprintf("(%g %%)", 100*p))
	}
	return strings.Join(words, " ")
}

// happens says what happens to them.
func (r *request) happens() string {
	var what []string
	if r.Has("delay") {
		what = append(what, "wait for "+r.Duration("delay", 0).String())
	}
	if r.Has("status") {
		what = append(what, fmt.Sprintf("are answered with %d", r.Integer("status", 0)))
	}
	if r.Boolean("hang", false) {
		what = append(what, "hang")
	}
	if r.Boolean("cut", false) {
		what = append(what, "are cut")
	}
	return strings.Join(what, " and ")
}
