package activeusers

import (
	"bytes"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/deskstorm/deskstorm/internal/activity"
)

// intake takes reports over HTTP.
type intake struct {
	clients *clients
	secrets []string // that tokens are made from
	sites   []siteToken
	now     func() time.Time
}

type siteToken struct{ site, token string }

func newIntake(cs *clients, sites []Site, secrets []string, now func() time.Time) *intake {
	in := &intake{clients: cs, secrets: secrets, now: now}
	for _, site := range sites {
		for _, secret := range secrets {
			in.sites = append(in.sites, siteToken{site.Name, activity.SiteToken(secret, site.Name)})
		}
	}
	return in
}

// ServeHTTP answers with what became of each report. The status is that of the first one that was refused.
func (in *intake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		in.refuse(w, activity.Forged, "the Authorization header has no Bearer token")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, activity.MaxBody))
	if err != nil {
		if _, long := errors.AsType[*http.MaxBytesError](err); long {
			in.refuseStatus(w, http.StatusRequestEntityTooLarge, activity.Malformed,
				fmt.Sprintf("the body is longer than %d bytes", activity.MaxBody))
			return
		}
		in.refuse(w, activity.Malformed, "the body ended early")
		return
	}
	reports, err := decode(body)
	switch {
	case errors.Is(err, errTooMany):
		in.refuseStatus(w, http.StatusRequestEntityTooLarge, activity.Malformed, err.Error())
		return
	case err != nil:
		in.refuse(w, activity.Malformed, "the body is not JSON as documented: "+err.Error())
		return
	case len(reports) == 0:
		in.refuse(w, activity.Malformed, "there is no report in it")
		return
	}
	results, refused, detail := in.take(reports, token)
	if refused != "" {
		in.answer(w, status(refused), refused, detail, results)
		return
	}
	writeJSON(w, http.StatusOK, "application/json", activity.Answer{Results: results})
}

var errTooMany = fmt.Errorf("it has more than %d reports", activity.MaxReports)

// decode reads a activity.Request. It stops at the first report too many: a body of empty ones would take a hundred times its size.
func decode(body []byte) (reports []activity.Report, err error) {
	d := json.NewDecoder(bytes.NewReader(body))
	if err := expect(d, json.Delim('{')); err != nil {
		return nil, err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		if key != "reports" {
			var other json.RawMessage
			if err := d.Decode(&other); err != nil {
				return nil, err
			}
			continue
		}
		if err := expect(d, json.Delim('[')); err != nil {
			return nil, err
		}
		for d.More() {
			if len(reports) == activity.MaxReports {
				return nil, errTooMany
			}
			reports = append(reports, activity.Report{})
			if err := d.Decode(&reports[len(reports)-1]); err != nil {
				return nil, err
			}
		}
		if err := expect(d, json.Delim(']')); err != nil {
			return nil, err
		}
	}
	return reports, expect(d, json.Delim('}'))
}

func expect(d *json.Decoder, want json.Delim) error {
	found, err := d.Token()
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	if err == nil && found != want {
		return fmt.Errorf("expected %s, found %v", want, found)
	}
	return err
}

// take judges all reports, and says which refusal came first.
func (in *intake) take(reports []activity.Report, token string) (results []activity.Result, refused activity.Result, detail string) {
	may := in.bearer(token)
	results = make([]activity.Result, len(reports))
	now := in.now()
	for i := range reports {
		r := &reports[i]
		var why string
		results[i], why = in.takeOne(r, may, now)
		if refused == "" && results[i] != activity.Accepted && results[i] != activity.Duplicate {
			refused, detail = results[i], fmt.Sprintf("reports[%d]: %s", i, why)
		}
	}
	return results, refused, detail
}

func (in *intake) takeOne(r *activity.Report, may *bearer, now time.Time) (activity.Result, string) {
	if err := r.Validate(); err != nil {
		in.clients.refuse(activity.Malformed)
		return activity.Malformed, err.Error()
	}
	if !may.speakFor(r) {
		in.clients.refuse(activity.Forged)
		return activity.Forged, "the token does not speak for this client"
	}
	result := in.clients.take(r, now)
	return result, title(result)
}

// bearer is whom a request's token speaks for.
type bearer struct {
	in     *intake
	token  string
	site   string // empty: no site
	client string // that was last found to be the token's own
}

func (in *intake) bearer(token string) *bearer {
	b := &bearer{in: in, token: token}
	for _, s := range in.sites {
		if equal(token, s.token) {
			b.site = s.site
		}
	}
	return b
}

// speakFor says whether the token is the client's own, or its site's. A report without a site is taken to be of the token's, and
// a client that no inventory has is nobody's to forge.
func (b *bearer) speakFor(r *activity.Report) bool {
	if b.site != "" {
		if site, ok := b.in.clients.inventorySite(r.Client); ok {
			return site == "" || site == b.site
		}
		if r.Site == "" {
			r.Site = b.site
		}
		return r.Site == b.site
	}
	if r.Client == b.client {
		return true
	}
	for _, secret := range b.in.secrets {
		if equal(b.token, activity.ClientToken(secret, r.Client)) {
			b.client = r.Client
			return true
		}
	}
	return false
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// problem is a refusal's body (RFC 9457).
type problem struct {
	Type    string            `json:"type"`
	Title   string            `json:"title"`
	Status  int               `json:"status"`
	Detail  string            `json:"detail"`
	Results []activity.Result `json:"results,omitempty"`
}

// status is the HTTP status of a refusal.
func status(r activity.Result) int {
	switch r {
	case activity.Forged:
		return http.StatusUnauthorized
	case activity.Unknown:
		return http.StatusForbidden
	case activity.Future:
		return http.StatusConflict
	case activity.Late:
		return http.StatusGone
	case activity.Full:
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

func title(r activity.Result) string {
	switch r {
	case activity.Forged:
		return "the token is missing or speaks for another"
	case activity.Unknown:
		return "the client is not in the inventory"
	case activity.Future:
		return "the report ends in the future: the client's clock is ahead"
	case activity.Late:
		return "the report is too old: it waited too long, or the client's clock is behind"
	case activity.Full:
		return "as many clients are tracked as may be"
	case activity.Malformed:
		return "the reports cannot be read"
	}
	return string(r)
}

// refuse refuses a whole request, none of whose reports was looked at.
func (in *intake) refuse(w http.ResponseWriter, result activity.Result, detail string) {
	in.refuseStatus(w, status(result), result, detail)
}

func (in *intake) refuseStatus(w http.ResponseWriter, status int, result activity.Result, detail string) {
	in.clients.refuse(result)
	in.answer(w, status, result, detail, nil)
}

func (in *intake) answer(w http.ResponseWriter, status int, result activity.Result, detail string, results []activity.Result) {
	switch result {
	case activity.Forged:
		w.Header().Set("WWW-Authenticate", `Bearer realm="reports"`)
	case activity.Full:
		w.Header().Set("Retry-After", "60")
	}
	writeJSON(w, status, "application/problem+json", problem{
		Type: "urn:deskstorm:problem:" + string(result), Title: title(result), Status: status, Detail: detail, Results: results,
	})
}

func writeJSON(w http.ResponseWriter, status int, kind string, v any) {
	text, err := json.Marshal(v)
	if err != nil { // a value of ours that JSON cannot hold
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // the client may have gone
}
