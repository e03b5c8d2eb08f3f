package contract

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
)

// notification is what oslo.messaging sends, in its envelope's version 2.0.
type notification struct {
	ID        string          `json:"message_id"`
	Publisher string          `json:"publisher_id"`
	Priority  string          `json:"priority"`
	Event     string          `json:"event_type"`
	Timestamp string          `json:"timestamp"`
	Payload   json.RawMessage `json:"payload"`
}

func openEnvelope(t *testing.T, body []byte) notification {
	t.Helper()
	var envelope struct {
		Version string `json:"oslo.version"`
		Message string `json:"oslo.message"`
	}
	require.NoError(t, json.Unmarshal(body, &envelope), "%s", body)
	require.Equal(t, "2.0", envelope.Version)
	var n notification
	require.NoError(t, json.Unmarshal([]byte(envelope.Message), &n), envelope.Message)
	return n
}

// server is the id of the server that a notification is about; empty: of none.
func (n notification) server(t *testing.T, versioned bool) string {
	t.Helper()
	var payload struct {
		ID        string `json:"instance_id"`
		Versioned struct {
			ID string `json:"uuid"`
		} `json:"nova_object.data"`
	}
	if json.Unmarshal(n.Payload, &payload) != nil {
		return "" // of something else
	}
	if versioned {
		return payload.Versioned.ID
	}
	return payload.ID
}

// exchange is nova.conf's control_exchange.
const exchange = "nova"

// testNotifications: a server's life as Nova tells it, in both forms, to a queue of the test's own.
func testNotifications(t *testing.T, s *suite) {
	connection, err := amqp.Dial(s.Can.NotificationURL)
	if err != nil {
		t.Fatal("the message broker does not answer") // the error may tell the URL with its password
	}
	t.Cleanup(func() { _ = connection.Close() })
	channel, err := connection.Channel()
	require.NoError(t, err)
	// Who listens declares what it listens to, as oslo.messaging does; one that exists with other attributes will do.
	if err := channel.ExchangeDeclare(exchange, amqp.ExchangeTopic, false, false, false, false, nil); err != nil {
		channel, err = connection.Channel() // the error has closed it
		require.NoError(t, err)
	}
	queue, err := channel.QueueDeclare("", false, true, true, false, nil) // exclusive: it goes with the connection
	require.NoError(t, err)
	for _, key := range []string{"notifications.*", "versioned_notifications.*"} {
		require.NoError(t, channel.QueueBind(queue.Name, key, exchange, false, nil))
	}
	messages, err := channel.Consume(queue.Name, "", true, true, false, false, nil)
	require.NoError(t, err)

	id := s.server(t, s.admin, "notified", nil).ID
	require.NoError(t, servers.Delete(t.Context(), s.user.compute, id).ExtractErr())

	want := map[bool][]string{
		false: {
			"compute.instance.create.start", "compute.instance.create.end", "compute.instance.delete.start",
			"compute.instance.shutdown.start", "compute.instance.shutdown.end", "compute.instance.delete.end",
		},
		true: {
			"instance.create.start", "instance.create.end", "instance.delete.start", "instance.shutdown.start", "instance.shutdown.end",
			"instance.delete.end",
		},
	}
	seen := map[bool][]string{}
	deadline := time.After(s.BuildTimeout)
	for len(seen[false]) < len(want[false]) || len(seen[true]) < len(want[true]) {
		select {
		case m, open := <-messages:
			require.True(t, open, "the message broker closed the connection; seen: %v", seen)
			versioned := strings.HasPrefix(m.RoutingKey, "versioned_")
			n := openEnvelope(t, m.Body)
			if n.server(t, versioned) != id || !slices.Contains(want[versioned], n.Event) {
				continue
			}
			require.Equal(t, "INFO", n.Priority)
			require.True(t, strings.HasSuffix(m.RoutingKey, ".info"), m.RoutingKey)
			require.NotEmpty(t, n.ID)
			require.Regexp(t, `^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}$`, n.Timestamp)
			host := strings.TrimPrefix(n.Publisher, map[bool]string{false: "compute.", true: "nova-compute:"}[versioned])
			require.Contains(t, s.Hosts, host, n.Publisher)
			seen[versioned] = append(seen[versioned], n.Event)
			s.checkPayload(t, n, versioned)
		case <-deadline:
			require.Fail(t, "notifications are missing", "seen: %v", seen)
		}
	}
	require.Equal(t, want, seen, "in their order")
}

// checkPayload checks what listeners need of a server's notification.
func (s *suite) checkPayload(t *testing.T, n notification, versioned bool) {
	t.Helper()
	var payload object
	require.NoError(t, json.Unmarshal(n.Payload, &payload))
	if !versioned {
		require.Equal(t, s.user.projectID, payload["tenant_id"])
		require.Equal(t, s.prefix+"notified", payload["display_name"])
		require.Equal(t, s.flavor.Name, payload["instance_type"])
		return
	}
	require.Equal(t, "nova", payload["nova_object.namespace"])
	data := payload["nova_object.data"].(object)
	require.Equal(t, s.user.projectID, data["tenant_id"])
	require.Equal(t, s.prefix+"notified", data["display_name"])
	flavor := data["flavor"].(object)["nova_object.data"].(object)
	require.Equal(t, s.flavor.Name, flavor["name"])
}
