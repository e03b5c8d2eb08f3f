package amqp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/rabbitmq"
	"github.com/deskstorm/deskstorm/lab/rabbitmq/rabbitmqtest"
)

// TestRealBroker is one test, because the broker's start takes long.
func TestRealBroker(t *testing.T) {
	server := rabbitmqtest.StartConfigT(t, rabbitmq.Config{Management: true})
	uri, err := amqp.ParseURI(server.URL)
	require.NoError(t, err)
	target := Target{
		Address: net.JoinHostPort(uri.Host, fmt.Sprint(uri.Port)), User: "guest", Password: "guest", Name: "canary",
		Patience: 5 * time.Second,
	}
	foreign := foreignQueue(t, server.URL)
	through := func(r *relay) Target {
		changed := target
		changed.Address = r.address
		return changed
	}

	t.Run("fresh", func(t *testing.T) {
		r := RoundTrip(t.Context(), target)
		require.NoError(t, r.Err)
		require.Equal(t, Delivered, r.Outcome)
		require.Positive(t, r.Connect)
		require.Positive(t, r.Latency)
	})
	t.Run("denied", func(t *testing.T) {
		for _, change := range []func(*Target){
			func(t *Target) { t.Password = "wrong-secret" },
			func(t *Target) { t.VHost = "/there-is-none" },
		} {
			changed := target
			change(&changed)
			r := RoundTrip(t.Context(), changed)
			require.Equal(t, Denied, r.Outcome, r.Err)
			require.NotContains(t, r.Err.Error(), "wrong-secret")
			require.Equal(t, Denied, AfterIdle(t.Context(), changed, "deskstorm.canary.denied", 0).Outcome)
		}
	})
	t.Run("refused", func(t *testing.T) {
		changed := target
		changed.Address = closedAddress(t)
		require.Equal(t, Refused, RoundTrip(t.Context(), changed).Outcome)
		require.Equal(t, Refused, AfterIdle(t.Context(), changed, "deskstorm.canary.refused", 0).Outcome)
	})
	t.Run("heartbeats", func(t *testing.T) {
		for _, seconds := range []int{0, 4} {
			changed := target
			changed.Heartbeat = time.Duration(seconds) * time.Second
			changed.Name = fmt.Sprintf("heartbeat-%d", seconds)
			c, err := open(t.Context(), changed)
			require.NoError(t, err)
			require.Eventually(t, func() bool {
				var connections []struct {
					Name    string `json:"user_provided_name"`
					Timeout int
				}
				get(t, server.Management, "connections?columns=user_provided_name,timeout", &connections)
				for _, c := range connections {
					if c.Name == changed.Name {
						require.Equal(t, seconds, c.Timeout, "the broker asks for 60")
						return true
					}
				}
				return false
			}, 20*time.Second, 100*time.Millisecond)
			c.close()
		}
	})
	t.Run("ladder", func(t *testing.T) {
		for _, reset := range []bool{false, true} {
			changed := through(startRelay(t, target.Address, 2*time.Second, reset))
			changed.Patience = 2 * time.Second
			silences := []time.Duration{0, time.Second, 4 * time.Second, 5 * time.Second}
			rungs, results := Ladder(t.Context(), changed, "deskstorm.canary.ladder-", silences)
			lower, upper := CutOff(rungs)
			require.Equal(t, time.Second, lower, results)
			require.Equal(t, 4*time.Second, upper, results)
			for _, r := range results {
				require.NoError(t, r.LeftBehind)
			}
			if reset {
				require.Equal(t, Closed, rungs[3].Outcome)
			} else {
				require.Equal(t, Lost, rungs[3].Outcome)
			}
			require.Empty(t, canaryQueues(t, server.Management), "also of connections that the broker believes in")
		}
	})
	t.Run("a heartbeat keeps it", func(t *testing.T) {
		changed := through(startRelay(t, target.Address, 3*time.Second, false))
		changed.Heartbeat = 2 * time.Second
		r := AfterIdle(t.Context(), changed, "deskstorm.canary.heartbeat", 5*time.Second)
		require.Equal(t, Delivered, r.Outcome, r.Err)
	})
	t.Run("canceled", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r := AfterIdle(ctx, target, "deskstorm.canary.canceled", time.Hour)
		require.Equal(t, Canceled, r.Outcome)
		require.NoError(t, r.LeftBehind)
		require.Empty(t, canaryQueues(t, server.Management))
	})
	t.Run("closed by the broker's administrator", func(t *testing.T) {
		changed := target
		changed.Name = "to-be-closed"
		result := make(chan Result, 1)
		go func() { result <- AfterIdle(t.Context(), changed, "deskstorm.canary.closed", time.Hour) }()
		require.Eventually(t, func() bool {
			var connections []struct {
				Name  string
				Given string `json:"user_provided_name"`
			}
			get(t, server.Management, "connections?columns=name,user_provided_name", &connections)
			for _, c := range connections {
				if c.Given == changed.Name {
					request, err := http.NewRequestWithContext(t.Context(), "DELETE", server.Management+"/api/connections/"+url.PathEscape(c.Name), nil)
					require.NoError(t, err)
					request.SetBasicAuth("guest", "guest")
					response, err := http.DefaultClient.Do(request)
					require.NoError(t, err)
					return response.Body.Close() == nil && response.StatusCode == http.StatusNoContent
				}
			}
			return false
		}, 20*time.Second, 100*time.Millisecond)
		r := <-result
		require.Equal(t, Failed, r.Outcome, "it is not the network")
		require.ErrorContains(t, r.Err, "Closed via management plugin")
		require.NoError(t, r.LeftBehind)
	})
	t.Run("killed", func(t *testing.T) {
		c, _, r := fallSilent(t.Context(), target, "deskstorm.canary.killed")
		require.NoError(t, r.Err)
		require.Contains(t, canaryQueues(t, server.Management), "deskstorm.canary.killed")
		require.NoError(t, c.raw.Close()) // as the kernel does
		require.Eventually(t, func() bool { return len(canaryQueues(t, server.Management)) == 0 }, 10*time.Second, 50*time.Millisecond)
	})
	t.Run("TLS", func(t *testing.T) {
		address, roots := terminateTLS(t, target.Address)
		changed := target
		changed.Address, changed.TLS = address, &tls.Config{RootCAs: roots}
		r := RoundTrip(t.Context(), changed)
		require.Equal(t, Delivered, r.Outcome, r.Err)
		changed.TLS = &tls.Config{RootCAs: x509.NewCertPool()}
		r = RoundTrip(t.Context(), changed)
		require.Equal(t, Failed, r.Outcome)
		require.ErrorContains(t, r.Err, "unknown authority")
	})
	t.Run("left by an earlier one", func(t *testing.T) {
		conn, err := amqp.Dial(server.URL)
		require.NoError(t, err)
		defer conn.Close()
		channel, err := conn.Channel()
		require.NoError(t, err)
		_, err = channel.QueueDeclare("deskstorm.canary.left", false, false, false, false, nil) // with other properties
		require.NoError(t, err)
		r := AfterIdle(t.Context(), target, "deskstorm.canary.left", 0)
		require.Equal(t, Delivered, r.Outcome, r.Err)
		require.Empty(t, canaryQueues(t, server.Management))
	})

	require.Empty(t, canaryQueues(t, server.Management))
	require.Equal(t, 3, foreign(), "nobody else's messages are touched")
}

// terminateTLS passes TLS on to a server without, and returns its address and authority.
func terminateTLS(t *testing.T, server string) (string, *x509.CertPool) {
	t.Helper()
	certified := httptest.NewTLSServer(nil)
	t.Cleanup(certified.Close)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: certified.TLS.Certificates})
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			behind, err := net.Dial("tcp", server)
			if err != nil {
				client.Close()
				continue
			}
			for _, ends := range [][2]net.Conn{{client, behind}, {behind, client}} {
				go func() {
					_, _ = io.Copy(ends[0], ends[1])
					ends[0].Close()
				}()
			}
		}
	}()
	roots := x509.NewCertPool()
	roots.AddCert(certified.Certificate())
	return listener.Addr().String(), roots
}

// foreignQueue declares a queue with three messages, and returns how to count them.
func foreignQueue(t *testing.T, url string) func() int {
	conn, err := amqp.Dial(url)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	channel, err := conn.Channel()
	require.NoError(t, err)
	queue, err := channel.QueueDeclare("compute.foreign", false, false, false, false, nil)
	require.NoError(t, err)
	for range 3 {
		require.NoError(t, channel.Publish("", queue.Name, true, false, amqp.Publishing{}))
	}
	return func() int {
		queue, err := channel.QueueDeclarePassive("compute.foreign", false, false, false, false, nil)
		require.NoError(t, err)
		return queue.Messages
	}
}

// canaryQueues are the queues that are not the test's own.
func canaryQueues(t *testing.T, management string) (left []string) {
	var queues []struct{ Name string }
	get(t, management, "queues?columns=name", &queues)
	for _, q := range queues {
		if q.Name != "compute.foreign" {
			left = append(left, q.Name)
		}
	}
	return left
}

func get(t *testing.T, management, path string, to any) {
	request, err := http.NewRequestWithContext(t.Context(), "GET", management+"/api/"+path, nil)
	require.NoError(t, err)
	request.SetBasicAuth("guest", "guest")
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	require.NoError(t, json.NewDecoder(response.Body).Decode(to))
}

// TestSilentServer: one that takes connections and says nothing is given up.
func TestSilentServer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	target := Target{Address: listener.Addr().String(), Patience: 200 * time.Millisecond}
	r := RoundTrip(t.Context(), target)
	require.Equal(t, Timeout, r.Outcome, r.Err)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	target.Patience = time.Minute
	require.Equal(t, Canceled, RoundTrip(ctx, target).Outcome)
}

// TestStrangeServer: one that speaks something else.
func TestStrangeServer(t *testing.T) {
	for _, says := range []string{"HTTP/1.1 400 Bad Request\r\n\r\n", "AMQP\x00\x00\x09\x01", "\x01\x00\x00\xff\xff\xff\xff"} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer listener.Close()
		go func() {
			c, err := listener.Accept()
			if err == nil {
				_, _ = c.Write([]byte(says))
				c.Close()
			}
		}()
		target := Target{Address: listener.Addr().String(), Password: "hidden-secret", Patience: 5 * time.Second}
		r := RoundTrip(t.Context(), target)
		require.Contains(t, []Outcome{Failed, Denied}, r.Outcome, r.Err)
		require.False(t, strings.Contains(r.Err.Error(), "hidden-secret"))
	}
}

func closedAddress(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	return listener.Addr().String()
}

// TestForeignQueue: no other queue is deleted, whatever the caller says.
func TestForeignQueue(t *testing.T) {
	r := AfterIdle(t.Context(), Target{Address: closedAddress(t)}, "compute.host1", 0)
	require.Equal(t, Failed, r.Outcome)
	require.ErrorContains(t, r.Err, "is no canary's")
}

func TestCutOff(t *testing.T) {
	at := func(idle time.Duration, outcome Outcome, minute int) Rung {
		return Rung{Idle: idle * time.Minute, Outcome: outcome, At: time.Unix(0, 0).Add(time.Duration(minute) * time.Minute)}
	}
	for _, test := range []struct {
		name         string
		rungs        []Rung
		lower, upper time.Duration // minutes
	}{
		{"nothing yet", nil, 0, -1},
		{"none lost", []Rung{at(1, Delivered, 1), at(60, Delivered, 60)}, 60, -1},
		{"all lost", []Rung{at(1, Lost, 1), at(60, Closed, 60)}, 0, 1},
		{"between", []Rung{at(1, Delivered, 1), at(5, Delivered, 5), at(60, Lost, 60), at(120, Lost, 120)}, 5, 60},
		{"the broker was away", []Rung{at(1, Refused, 121), at(5, Delivered, 5), at(60, Timeout, 60), at(120, Lost, 120)}, 5, 120},
		{"cut sooner than before", []Rung{at(5, Lost, 130), at(120, Delivered, 125)}, 0, 5},
		{"cut later than before", []Rung{at(5, Lost, 120), at(120, Delivered, 125)}, 120, -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			lower, upper := CutOff(test.rungs)
			require.Equal(t, test.lower*time.Minute, lower)
			if test.upper < 0 {
				require.Equal(t, Unknown, upper)
			} else {
				require.Equal(t, test.upper*time.Minute, upper)
			}
		})
	}
}
