package fault_test

import (
	"context"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/netns"
	"github.com/deskstorm/deskstorm/lab/rabbitmq"
	"github.com/deskstorm/deskstorm/lab/rabbitmq/rabbitmqtest"
	"github.com/deskstorm/deskstorm/probe/amqp"
	"github.com/deskstorm/deskstorm/runner/fault"
	"github.com/deskstorm/deskstorm/runner/native"
)

// TestAMQPIdleDrop: behind a firewall that forgets idle sessions a message to a silent consumer is confirmed and lost, as in production;
// a session that existed before is forgotten as one that is new.
func TestAMQPIdleDrop(t *testing.T) {
	t.Parallel()
	w, world := newWire(t)
	broker := rabbitmqtest.StartConfigT(t, rabbitmq.Config{Namespace: w.server, Address: serverAddress})
	at, err := url.Parse(broker.URL)
	require.NoError(t, err)
	port := at.Port()
	target := amqp.Target{Address: at.Host, User: "guest", Password: "guest", Patience: 3 * time.Second,
		Dial: func(ctx context.Context, network, address string) (conn net.Conn, err error) {
			err = w.client.Do(func() error {
				conn, err = new(net.Dialer).DialContext(ctx, network, address)
				return err
			})
			return conn, err
		}}
	idle := func(name string, idle time.Duration, heartbeat time.Duration) func() amqp.Result {
		target := target
		target.Name, target.Heartbeat = name, heartbeat
		done := make(chan amqp.Result, 1)
		go func() { done <- amqp.AfterIdle(t.Context(), target, amqp.QueuePrefix+name, idle) }()
		return sync.OnceValue(func() amqp.Result { return <-done })
	}
	const after = 4 * time.Second
	before := idle("before", 3*after, 0)
	require.Equal(t, amqp.Delivered, amqp.RoundTrip(t.Context(), target).Outcome)
	world.breaks("amqp.idle_drop", native.Arguments{"target": "router", "for": "1m", "port": number(t, port), "after": after.String(),
		"address": serverAddress}, func(fault.Plan) {
		long, short, beating := idle("long", 2*after, 0), idle("short", after/2, 0), idle("beating", 2*after, 2*time.Second)
		require.Equal(t, amqp.Delivered, short().Outcome)
		require.Equal(t, amqp.Lost, long().Outcome)
		require.Equal(t, amqp.Delivered, beating().Outcome)
		require.Equal(t, amqp.Lost, before().Outcome)
	})
	require.Equal(t, amqp.Delivered, idle("after", after*3/2, 0)().Outcome)
	clean(t, w.router)
}

// TestIdleDropEverywhere: at a client, between, at a server, and at a host that speaks to itself; sessions that speak are left alone.
func TestIdleDropEverywhere(t *testing.T) {
	t.Parallel()
	w, world := newWire(t)
	const port, after = 7, 1500 * time.Millisecond
	w.listen(t, port, echoAll)
	answers := func(conn net.Conn) bool {
		require.NoError(t, conn.SetDeadline(time.Now().Add(after)))
		_, err := conn.Write([]byte("hello"))
		require.NoError(t, err)
		_, err = io.ReadFull(conn, make([]byte, 5))
		return err == nil
	}
	for _, at := range []string{"client", "router", "server", "itself"} {
		from := w.client
		arguments := native.Arguments{"target": at, "for": "1m", "port": port, "after": after.String()}
		if at == "itself" {
			from, arguments["target"] = w.server, "server"
		}
		old, oldBusy := w.dial(t, from, port), w.dial(t, from, port)
		world.breaks("amqp.idle_drop", arguments, func(fault.Plan) {
			idle, busy := w.dial(t, from, port), w.dial(t, from, port)
			require.True(t, answers(idle))
			for began := time.Now(); time.Since(began) < 2*after; time.Sleep(after / 5) {
				require.True(t, answers(busy), "%s: one that speaks", at)
				require.True(t, answers(oldBusy), "%s: an old one that speaks", at)
			}
			require.False(t, answers(idle), "%s: one that was idle", at)
			require.False(t, answers(old), "%s: an old one that was idle", at)
		})
		require.True(t, answers(oldBusy))
		require.True(t, answers(w.dial(t, from, port)))
	}
	for _, n := range []*netns.Namespace{w.client, w.router, w.server} {
		clean(t, n)
	}
}
