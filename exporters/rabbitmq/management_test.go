package rabbitmq

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/configfile"
)

// managementAPI is one with some connections, two channels each, of which every hundredth has an unacknowledged message.
func managementAPI(t testing.TB, count int) *httptest.Server {
	type object = map[string]any
	items := map[string][]object{}
	for i := range count {
		remote := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), uint16(30000+i%20000))
		name := fmt.Sprintf("%s -> 10.2.0.1:5672", remote)
		service := DefaultServices()[i%8]
		items["connections"] = append(items["connections"], object{
			"name": name, "user_provided_name": fmt.Sprintf("%s:%d:0b5c4a5e-7f0d-4a7e-9b57-000000000000", service, i),
			"peer_host": remote.Addr().String(), "peer_port": remote.Port(), "timeout": i % 2 * 60, "recv_oct": i, "send_oct": i,
			"node":              fmt.Sprintf("rabbit@broker%d", i%2+1),
			"client_properties": object{"connection_name": fmt.Sprintf("%s:%d:0b5c4a5e-7f0d-4a7e-9b57-000000000000", service, i)},
		})
		for channel := range 2 {
			unacknowledged := 0
			if i%100 == 0 && channel == 1 {
				unacknowledged = 1
			}
			items["channels"] = append(items["channels"], object{
				"messages_unacknowledged": unacknowledged, "connection_details": object{"name": name},
			})
		}
	}
	// The answers are made before, so that a benchmark measures who reads them.
	answers := map[string][]byte{}
	for what, all := range items {
		b, err := json.Marshal(all)
		require.NoError(t, err)
		answers[what] = b
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		what := strings.TrimPrefix(r.URL.Path, "/api/")
		if user, password, _ := r.BasicAuth(); user != "monitor" || password != "monitor-secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.URL.Query().Get("columns") == "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = w.Write(answers[what])
	}))
	t.Cleanup(server.Close)
	return server
}

func brokerOf(t testing.TB, url string) *broker {
	b, err := newBroker(Broker{Name: "bus", Management: &Management{
		URL: url, User: "monitor", Password: configfile.Plain("monitor-secret"),
	}}, classifier{services: DefaultServices()}, newCanaryMetrics(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return b
}

func TestManagementLists(t *testing.T) {
	b := brokerOf(t, managementAPI(t, 1201).URL)
	all, err := b.management.connections(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 1201)
	require.EqualValues(t, 60, all[1].Timeout.value)
	unacknowledged, err := b.management.unacknowledged(t.Context())
	require.NoError(t, err)
	require.Len(t, unacknowledged, 13)

	b.management.Node = "rabbit@broker2"
	all, err = b.management.connections(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 600)
}

func TestManagementFails(t *testing.T) {
	answer := func(status int, body string) *httptest.Server {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}))
		t.Cleanup(server.Close)
		return server
	}
	for _, test := range []struct {
		name, url, want string
	}{
		{"wrong password", answer(401, "").URL, "does not let monitor in (401 Unauthorized): check the password and the user's tag"},
		{"broken", answer(500, "reason: stats down").URL, `answered 500 Internal Server Error: "reason: stats down"`},
		{"no JSON", answer(200, "<html>").URL, "reading the answer"},
		{"another shape", answer(200, `{"items": {}}`).URL, "expected a list"},
		{"another shape inside", answer(200, `[{"name": {}}]`).URL, "reading the answer"},
		{"cut", answer(200, `[{"name": "a"},`).URL, "reading the answer"},
		{"endless", answer(200, "["+strings.Repeat("{},", maxItems)+"{}]").URL, "there are more than 200000"},
		{"nobody there", "http://127.0.0.1:1", "asking the management API"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := brokerOf(t, test.url)
			err := b.updateManagement(t.Context())
			require.ErrorContains(t, err, test.want)
			require.NotContains(t, err.Error(), "monitor-secret")
			require.Empty(t, gather(t, b))
		})
	}
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer hanging.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, brokerOf(t, hanging.URL).updateManagement(ctx), context.DeadlineExceeded)
}

// TestStrangeConnections: what the API leaves out or has words for is no failure.
func TestStrangeConnections(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "channels") {
			_, _ = w.Write([]byte(`[{"connection_details": []}]`))
			return
		}
		_, _ = w.Write([]byte(`[{"name": "a", "peer_host": "unknown", "peer_port": "unknown"},
			{"name": "b", "peer_host": "::ffff:10.1.0.2", "peer_port": 4711, "timeout": "", "recv_oct": null},
			{"name": "c", "client_properties": []}, {}]`))
	}))
	defer server.Close()
	b := brokerOf(t, server.URL)
	err := b.updateManagement(t.Context())
	require.NoError(t, err)
	require.Len(t, b.looked, 1)
	require.Equal(t, netip.MustParseAddrPort("10.1.0.2:4711"), b.looked[0].remote)
	require.False(t, b.looked[0].idleKnown)
}

// BenchmarkRefresh is what a look at 10,000 connections costs: the API's answers (made before), their reading, and the metrics.
func BenchmarkRefresh(b *testing.B) {
	broker := brokerOf(b, managementAPI(b, 10_000).URL)
	for b.Loop() {
		require.NoError(b, broker.updateManagement(b.Context()))
	}
	require.Len(b, broker.looked, 10_000)
}

// BenchmarkAssess is what one source's news cost when both know 10,000 connections.
func BenchmarkAssess(b *testing.B) {
	broker := assessedBroker(b, 10_000)
	for b.Loop() {
		broker.assess()
	}
}
