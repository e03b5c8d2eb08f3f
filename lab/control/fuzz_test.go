package control

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzRead: whatever is sent is an order or refused as the sender's mistake.
func FuzzRead(f *testing.F) {
	c := &Control{types: kinds()}
	for _, k := range c.types {
		f.Add(`{"type": "` + k.name + `", "duration": "1m", "id": "x", "host": "compute01", "count": 1}`)
	}
	f.Add(`{"type": "api", "service": null, "delay": "1h", "probability": 1e400}`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, body string) {
		o, err := c.read(httptest.NewRequest("POST", "/v1/faults", strings.NewReader(body)))
		if err == nil {
			if o.fault == nil || o.Duration < 0 {
				t.Fatalf("%+v", o)
			}
			return
		}
		if r, ok := errors.AsType[*refusal](err); !ok || r.status < 400 || r.status > 499 {
			t.Fatalf("%v", err)
		}
	})
}
