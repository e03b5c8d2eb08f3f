package api_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/deskstorm/deskstorm/broker/api"
	"github.com/deskstorm/deskstorm/broker/client"
)

func benchmarked() http.Handler {
	logger := slog.New(slog.NewJSONHandler(discard{}, nil)) // a log line is part of the price
	return api.New(&fake{}, api.Config{Logger: logger, Registerer: prometheus.NewRegistry(), MaxLogins: 100})
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// BenchmarkLoginHandler is what the API adds to the broker's work for a login.
func BenchmarkLoginHandler(b *testing.B) {
	handler := benchmarked()
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest("POST", "/v1/sessions", strings.NewReader(goodLogin))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != 201 {
			b.Fatal(w.Body)
		}
	}
}

// BenchmarkLoginDriver is a login as a thin client has it, over loopback, with a broker that has nothing to do.
func BenchmarkLoginDriver(b *testing.B) {
	server := httptest.NewServer(benchmarked())
	defer server.Close()
	driver := client.NewBroker(client.BrokerConfig{URL: server.URL})
	defer driver.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := driver.Login(context.Background(), whole); err != nil {
			b.Fatal(err)
		}
	}
}
