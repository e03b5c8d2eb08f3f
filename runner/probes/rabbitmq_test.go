package probes

import (
	"fmt"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/netns/netnstest"
	"github.com/deskstorm/deskstorm/lab/rabbitmq"
	"github.com/deskstorm/deskstorm/lab/rabbitmq/rabbitmqtest"
	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/runner/record"
)

func TestCanaries(t *testing.T) {
	// The broker is on another host's loopback, where only who is there can reach it.
	inside := netnstest.New(t, "rabbit")
	server := rabbitmqtest.StartConfigT(t, rabbitmq.Config{Namespace: inside})
	u, err := url.Parse(server.URL)
	require.NoError(t, err)
	e := Env{Config: mustRead(t, fmt.Sprintf(`
rabbitmq:
  brokers:
    - {name: inside, address: %q, user: guest, password: {file: %q}, namespace: %s, patience: 5s}
    - {name: outside, address: %[1]q, user: guest, password: {file: %[2]q}, patience: 5s}
    - {name: stranger, address: %[1]q, user: guest, password: {file: %[4]q}, namespace: %[3]s, patience: 5s}
`, u.Host, secret(t, "guest"), inside.Path(), secret(t, "hunter2")))}

	v := answerOf(t, e, "amqp.canary", native.Arguments{"broker": "inside"})
	require.Equal(t, true, v["ok"], "%v", v)
	require.Positive(t, v["latency_ms"])
	require.Equal(t, "refused", answerOf(t, e, "amqp.canary", native.Arguments{"broker": "outside"})["outcome"])
	v = answerOf(t, e, "amqp.canary", native.Arguments{"broker": "stranger"})
	require.Equal(t, "denied", v["outcome"])
	require.NotContains(t, v["error"], "hunter2")

	v = answerOf(t, e, "amqp.idle", native.Arguments{"broker": "inside", "silence": "1s", "heartbeat": "1s", "keepalive": "1s"})
	require.Equal(t, "delivered", v["outcome"], "%v", v)
	require.NotContains(t, v, "left_behind")
	v = answerOf(t, e, "amqp.ladder", native.Arguments{"broker": "inside", "silences": []any{"500ms", "2s"}})
	require.Len(t, v["rungs"], 2)
	require.Equal(t, 2., v["survived_seconds"])
	require.Nil(t, v["cut_seconds"])
	_, err = call(t, e, "amqp.ladder", native.Arguments{"broker": "inside", "silences": []any{"soon"}})
	require.ErrorContains(t, err, `silences: "soon" is no duration`)
}

// TestLadderWithoutRungs: it asks nobody.
func TestLadderWithoutRungs(t *testing.T) {
	v := answerOf(t, Env{Recorder: record.NewRecorder(record.Run{})}, "amqp.ladder", native.Arguments{"silences": []any{}})
	require.Equal(t, map[string]any{"rungs": []any{}, "survived_seconds": 0., "cut_seconds": nil}, v)
}

// TestLadderFindsTheCut: what is between cuts connections that say nothing, as some firewalls do, by a reset.
func TestLadderFindsTheCut(t *testing.T) {
	server := rabbitmqtest.StartT(t)
	u, err := url.Parse(server.URL)
	require.NoError(t, err)
	relay := cutting(t, u.Host)
	e := Env{Config: mustRead(t, fmt.Sprintf("rabbitmq: {brokers: [{name: b, address: %q, user: guest, password: {file: %q}, patience: 5s}]}",
		relay, secret(t, "guest")))}
	v := answerOf(t, e, "amqp.ladder", native.Arguments{"silences": []any{"300ms", "3s"}})
	require.Equal(t, .3, v["survived_seconds"], "%v", v)
	require.Equal(t, 3., v["cut_seconds"], "%v", v)
}

// cutting starts a relay to a server that closes connections after 1.5 s of silence, and returns its address.
func cutting(t *testing.T, server string) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	pass := func(to, from net.Conn) {
		defer to.Close()
		defer from.Close()
		buffer := make([]byte, 64<<10)
		for {
			_ = from.SetReadDeadline(time.Now().Add(1500 * time.Millisecond))
			n, err := from.Read(buffer)
			if err != nil {
				return
			}
			_ = to.SetReadDeadline(time.Now().Add(1500 * time.Millisecond)) // an answer may take its time
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
	}
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
			go pass(client, behind)
			go pass(behind, client)
		}
	}()
	return listener.Addr().String()
}
