package notify

import (
	"encoding/json"
	"fmt"
	"net"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/rabbitmq/rabbitmqtest"
	"github.com/deskstorm/deskstorm/lab/sim/service"
)

const patience = 30 * time.Second

// inbox reads a queue as a plain AMQP consumer, which declares nothing.
func inbox(t *testing.T, url, queue string) <-chan amqp.Delivery {
	t.Helper()
	c, err := amqp.Dial(url)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	channel, err := c.Channel()
	require.NoError(t, err)
	deliveries, err := channel.Consume(queue, "", true, false, false, false, nil)
	require.NoError(t, err)
	return deliveries
}

func receive(t *testing.T, from <-chan amqp.Delivery) (amqp.Delivery, map[string]any) {
	t.Helper()
	select {
	case d, open := <-from:
		require.True(t, open)
		var outer map[string]string
		require.NoError(t, json.Unmarshal(d.Body, &outer))
		require.Equal(t, "2.0", outer["oslo.version"])
		require.Len(t, outer, 2)
		var inner map[string]any
		require.NoError(t, json.Unmarshal([]byte(outer["oslo.message"]), &inner))
		return d, inner
	case <-time.After(patience):
		require.Fail(t, "nothing came")
		return amqp.Delivery{}, nil
	}
}

func waitSent(t *testing.T, p *Publisher, n uint64) {
	t.Helper()
	require.Eventually(t, func() bool { return p.Counts().Sent >= n }, patience, time.Millisecond, "%v", p)
}

// clock is a lab's, which need not be the machine's.
func clock() time.Time {
	return time.Date(2031, 2, 3, 5, 5, 6, 7000, time.FixedZone("", 3600))
}

func TestRabbitMQ(t *testing.T) {
	s := rabbitmqtest.StartT(t)
	p, err := New(s.URL, clock)
	require.NoError(t, err)
	defer p.Close()
	nova, versioned := p.To("nova", Unversioned), p.To("nova", Versioned)
	by := &service.Caller{UserID: "u", UserName: "ann", ProjectID: "p", ProjectName: "desktops", Roles: []string{"member"}}
	nova.Notify("compute:compute01", "INFO", "compute.instance.create.start",
		service.Caused{Payload: map[string]any{"instance_id": "i"}, By: by, RequestID: "req-1"})
	versioned.Notify("nova-compute:compute01", "ERROR", "instance.create.error", map[string]int{"nova_object.version": 1})
	p.To("neutron", Unversioned).Notify("network.host", "INFO", "port.create.start", nil)
	waitSent(t, p, 3)

	d, m := receive(t, inbox(t, s.URL, "versioned_notifications.error"))
	require.Equal(t, "nova", d.Exchange)
	require.Equal(t, "application/json", d.ContentType)
	require.Equal(t, "ERROR", m["priority"])
	require.Equal(t, map[string]any{"nova_object.version": 1.0}, m["payload"])
	require.NotContains(t, m, "_context_request_id", "nobody's request caused it")

	plain := inbox(t, s.URL, "notifications.info")
	_, m = receive(t, plain)
	require.Equal(t, "compute.instance.create.start", m["event_type"])
	require.Equal(t, "compute:compute01", m["publisher_id"])
	require.Equal(t, map[string]any{"instance_id": "i"}, m["payload"])
	require.Equal(t, "req-1", m["_context_request_id"])
	require.Equal(t, "desktops", m["_context_project_name"])
	require.Equal(t, false, m["_context_is_admin"])
	require.Len(t, m["_unique_id"], 32)
	require.Len(t, m["message_id"], 36)
	require.Equal(t, "2031-02-03 04:05:06.000007", m["timestamp"], "the services' clock")
	d, m = receive(t, plain)
	require.Equal(t, "neutron", d.Exchange)
	require.Contains(t, m, "payload")
	require.Nil(t, m["payload"])

	t.Run("reconnects", func(t *testing.T) {
		require.NoError(t, s.Restart(t.Context())) // the queues are gone with it
		began := time.Now()
		for i := range 100 {
			nova.Notify("compute:compute01", "INFO", fmt.Sprint(i), nil)
		}
		require.Less(t, time.Since(began), time.Second, "it does not wait")
		waitSent(t, p, 103)
		require.NoError(t, p.Err())
		again := inbox(t, s.URL, "notifications.info")
		for i := range 100 {
			_, m := receive(t, again)
			require.Equal(t, fmt.Sprint(i), m["event_type"])
		}
	})
	t.Run("says why it cannot send", func(t *testing.T) {
		c, err := amqp.Dial(s.URL)
		require.NoError(t, err)
		defer c.Close()
		channel, err := c.Channel()
		require.NoError(t, err)
		require.NoError(t, channel.ExchangeDeclare("glance", "topic", true, false, false, false, nil))
		other, err := New(s.URL, clock)
		require.NoError(t, err)
		other.To("glance", Unversioned).Notify("image.localhost", "INFO", "image.create", nil)
		require.Eventually(t, func() bool { return other.Err() != nil }, patience, time.Millisecond)
		require.ErrorContains(t, other.Err(), "inequivalent arg 'durable'")
		require.NotContains(t, other.Err().Error(), "guest")
		other.Close()
		require.Equal(t, Counts{Dropped: 1}, other.Counts())
	})
	t.Run("drains", func(t *testing.T) {
		for range 500 {
			nova.Notify("compute:compute01", "ERROR", "e", map[string]string{"a": "b"})
		}
		p.Close()
		p.Close()
		require.Equal(t, Counts{Sent: 603}, p.Counts())
		nova.Notify("compute:compute01", "ERROR", "too late", nil)
		require.Equal(t, Counts{Sent: 603, Dropped: 1}, p.Counts())
		late := inbox(t, s.URL, "notifications.error")
		for range 500 {
			receive(t, late)
		}
	})
}

// TestNoBroker: a broker that takes connections and says nothing is the worst of them.
func TestNoBroker(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { silent.Close() })
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, refused.Close())
	for name, address := range map[string]string{"silent": silent.Addr().String(), "refused": refused.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := New("amqp://user:secret@"+address+"/", time.Now)
			require.NoError(t, err)
			to := p.To("nova", Unversioned)
			for range queueLength + 100 {
				to.Notify("a", "INFO", "b", nil)
			}
			require.GreaterOrEqual(t, p.Counts().Dropped, uint64(99))
			began := time.Now()
			p.Close()
			require.Less(t, time.Since(began), drainTimeout+3*time.Second)
			require.Equal(t, Counts{Dropped: queueLength + 100}, p.Counts())
			require.NotContains(t, fmt.Sprintf("%v %s", p.Err(), p), "secret")
		})
	}
	_, err = New("http://user:secret@host/", time.Now)
	require.ErrorIs(t, err, ErrURL)
	require.NotContains(t, err.Error(), "secret")
}
