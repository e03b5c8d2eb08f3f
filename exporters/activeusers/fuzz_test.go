package activeusers

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/deskstorm/deskstorm/internal/activity"
)

// FuzzIntake sends anything: no body may crash the exporter, or be answered with a failure of its own.
func FuzzIntake(f *testing.F) {
	f.Add([]byte(`{"reports": [{"client": "tc-1", "run": "a", "sequence": 1, "from": "2026-06-01T11:59:50Z",
		"to": "2026-06-01T12:00:00Z", "events": 5, "state": {"version": "1"}}]}`))
	f.Add([]byte(`{"x": [{}], "reports": null}`))
	fx := start(f, testConfig(f), noon)
	h := fx.exporter.exporter([]string{secret}).Handlers["POST "+activity.Path]
	token := "Bearer " + activity.SiteToken(secret, "N1")
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest(http.MethodPost, activity.Path, bytes.NewReader(body))
		r.Header.Set("Authorization", token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Fatal(w.Code, w.Body)
		}
		fx.snapshotOf(t)
	})
}

func (f *fixture) snapshotOf(t *testing.T) {
	if n := f.clients.snapshot(f.now); len(n.places) != f.places.count() {
		t.Fatal("the snapshot is not whole")
	}
}
