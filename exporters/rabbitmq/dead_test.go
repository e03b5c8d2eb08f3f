package rabbitmq

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/configfile"
)

// TestDeadSources: an API that hangs and a broker that is not there hold up nobody.
func TestDeadSources(t *testing.T) {
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer hanging.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	client, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	defer client.Close()

	s := serve(t, Config{Brokers: []Broker{
		{Name: "hangs", Management: &Management{
			URL: hanging.URL, User: "monitor", Password: configfile.Plain("x"), Interval: time.Second, Timeout: 2 * time.Second,
		}},
		{Name: "lives", Sockets: &Sockets{Ports: []uint16{uint16(listener.Addr().(*net.TCPAddr).Port)}, Interval: time.Second}},
		{Name: "is not there", Canary: &Canary{
			Address: "127.0.0.1:1", User: "canary", Password: configfile.Plain("x"), Instance: "test", Interval: time.Second,
		}},
		{Name: "has no secret", Canary: &Canary{
			Address: "127.0.0.1:1", User: "canary", Password: configfile.Secret{File: "/there-is-none"}, Instance: "test",
		}},
	}})
	s.until("the living source's connection, and the refused canaries", 30*time.Second, func() bool {
		return s.value(connections, "lives") == 1 && s.value(canaryTrips, "is not there", fresh, "refused") >= 2 &&
			s.value(canaryTrips, "is not there", "ladder-2h0m0s", "refused") == 1 &&
			s.value(canaryTrips, "has no secret", "ladder-2h0m0s", "failed") == 1
	})
	require.EqualValues(t, 0, s.value(canaryUp, "is not there", fresh))
	begun := time.Now()
	s.stop()
	require.Less(t, time.Since(begun), 2*time.Second)
}
