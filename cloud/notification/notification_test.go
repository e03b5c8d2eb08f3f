package notification

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/rabbitmq/rabbitmqtest"
)

// enveloped is a message as oslo.messaging sends it.
func enveloped(inner string) []byte {
	text, _ := json.Marshal(inner)
	return []byte(`{"oslo.version":"2.0","oslo.message":` + string(text) + `}`)
}

const created = `{"message_id":"m1","publisher_id":"compute.node7","priority":"info","event_type":"compute.instance.create.end",` +
	`"timestamp":"2026-11-26 08:00:01.250000","payload":{"instance_id":"a"}}`

func TestDecode(t *testing.T) {
	want := Notification{
		ID: "m1", Publisher: "compute.node7", Priority: "INFO", Event: "compute.instance.create.end",
		Time: time.Date(2026, 11, 26, 8, 0, 1, 250_000_000, time.UTC), Payload: []byte(`{"instance_id":"a"}`),
	}
	for name, body := range map[string][]byte{"enveloped": enveloped(created), "bare": []byte(created)} {
		got, err := Decode(body)
		require.NoError(t, err, name)
		require.Equal(t, want, got, name)
	}
	for name, body := range map[string]string{
		"no JSON": "x", "a list": "[]", "no event": `{"timestamp":"2026-11-26 08:00:01.25"}`, "no time": `{"event_type":"x"}`,
		"envelope of nothing": `{"oslo.message":"}"}`, "envelope of a number": `{"oslo.message":5}`,
	} {
		_, err := Decode([]byte(body))
		require.Error(t, err, name)
	}
}

func TestPublisher(t *testing.T) {
	for publisher, want := range map[string][2]string{
		"compute.node7.example.com": {"nova-compute", "node7.example.com"},
		"nova-compute:node7":        {"nova-compute", "node7"},
		"compute_task.ctl":          {"nova-conductor", "ctl"},
		"network.ctl":               {"network", "ctl"},
		"":                          {"", ""},
	} {
		n := Notification{Publisher: publisher}
		require.Equal(t, want, [2]string{n.Service(), n.Host()}, publisher)
	}
}

func TestParseTime(t *testing.T) {
	want := time.Date(2026, 11, 26, 8, 0, 1, 0, time.UTC)
	for _, text := range []string{
		"2026-11-26 08:00:01", "2026-11-26 08:00:01.000000", "2026-11-26T08:00:01.000000", "2026-11-26T08:00:01Z", "2026-11-26 08:00:01+00:00",
	} {
		got, err := ParseTime(text)
		require.NoError(t, err, text)
		require.True(t, want.Equal(got), text)
	}
	_, err := ParseTime("yesterday")
	require.Error(t, err)
}

func FuzzDecode(f *testing.F) {
	f.Add(enveloped(created))
	f.Add([]byte(created))
	f.Fuzz(func(t *testing.T, body []byte) {
		if n, err := Decode(body); err == nil {
			require.NotEmpty(t, n.Event)
			_, _ = n.Service(), n.Host()
		}
	})
}

func TestListen(t *testing.T) {
	broker := rabbitmqtest.StartT(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	listening, bad := make(chan bool, 1), make(chan error, 10)
	heard := make(chan Notification, 10)
	done := make(chan error)
	l := Listener{URL: broker.URL, Exchanges: []string{"nova", "odd", "later"}, Keys: []string{"notifications.*"}, Name: "test"}

	connection, err := amqp.Dial(broker.URL)
	require.NoError(t, err)
	defer connection.Close()
	channel, err := connection.Channel()
	require.NoError(t, err)
	require.NoError(t, channel.ExchangeDeclare("odd", amqp.ExchangeTopic, true, false, false, false, nil), "durable, as oslo does not make it")
	require.NoError(t, channel.ExchangeDeclare("nova", amqp.ExchangeTopic, false, false, false, false, nil))
	_, err = channel.QueueDeclare("notifications.info", false, false, false, false, nil) // somebody else's
	require.NoError(t, err)
	require.NoError(t, channel.QueueBind("notifications.info", "notifications.info", "odd", false, nil))

	go func() {
		done <- l.Listen(ctx, func() { listening <- true }, func(n Notification) { heard <- n }, func(err error) { bad <- err })
	}()
	<-listening
	send := func(exchange string, body []byte) {
		require.NoError(t, channel.PublishWithContext(ctx, exchange, "notifications.info", false, false, amqp.Publishing{Body: body}))
	}
	send("nova", enveloped(created))
	send("odd", []byte("no notification"))
	send("odd", enveloped(created))
	require.Equal(t, "m1", (<-heard).ID)
	require.Equal(t, "m1", (<-heard).ID)
	require.Error(t, <-bad)
	theirs, err := channel.QueueDeclarePassive("notifications.info", false, false, false, false, nil)
	require.NoError(t, err)
	require.Equal(t, 2, theirs.Messages, "what others wait for stays theirs")

	// A service makes its exchange as it wants it, which the listener has not made before it, and is heard.
	require.NoError(t, channel.ExchangeDeclare("later", amqp.ExchangeTopic, true, false, false, false, nil))
	if !testing.Short() {
		require.Eventually(t, func() bool {
			send("later", enveloped(created))
			select {
			case <-heard:
				return true
			default:
				return false
			}
		}, 3*lookEvery, 100*time.Millisecond)
	}

	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	broker.Kill()
	bounded, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	err = l.Listen(bounded, func() {}, func(Notification) {}, func(error) {})
	require.Error(t, err)
	require.NotContains(t, err.Error(), "guest")
	require.ErrorIs(t, Listener{URL: "amqp://me:hunter2@host:x"}.Listen(bounded, nil, nil, nil), ErrURL)
}
