package sim_test

import (
	"encoding/json"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/rabbitmq/rabbitmqtest"
	"github.com/deskstorm/deskstorm/lab/sim"
)

// TestNotifications: what the services do is on the message bus, as in a real cloud.
func TestNotifications(t *testing.T) {
	bus := rabbitmqtest.StartT(t)
	now := time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)
	lab := startLab(t, sim.Config{NotificationURL: bus.URL, Now: func() time.Time { return now }})
	token := adminToken(t, lab)
	require.Equal(t, 201, do(t, "POST", lab.AuthURL+"/projects", token, `{"project":{"name":"new"}}`).status)
	require.Equal(t, 201, do(t, "POST", base(lab)+"/image/v2/images", token, `{"name":"new"}`).status)
	require.Equal(t, 201, do(t, "POST", base(lab)+"/network/v2.0/ports", token, `{"port":{"network_id":"`+lab.NetworkID("desktops")+`"}}`).status)
	require.Eventually(t, func() bool { return lab.Notifications.Counts().Sent == 4 }, 30*time.Second, time.Millisecond, "%v", lab.Notifications)

	c, err := amqp.Dial(bus.URL)
	require.NoError(t, err)
	defer c.Close()
	channel, err := c.Channel()
	require.NoError(t, err)
	var seen []string
	for range 4 {
		d, ok, err := channel.Get("notifications.info", true)
		require.NoError(t, err)
		require.True(t, ok)
		var outer, inner map[string]any
		require.NoError(t, json.Unmarshal(d.Body, &outer))
		require.NoError(t, json.Unmarshal([]byte(outer["oslo.message"].(string)), &inner))
		seen = append(seen, d.Exchange+" "+inner["publisher_id"].(string)+" "+inner["event_type"].(string))
		require.Equal(t, "2031-02-03 04:05:06.000000", inner["timestamp"])
		if d.Exchange == "neutron" {
			require.Equal(t, "admin", inner["_context_user_name"])
		}
	}
	require.Equal(t, []string{
		"keystone identity.keystone identity.project.created", "glance image.localhost image.create",
		"neutron network.neutron port.create.start", "neutron network.neutron port.create.end",
	}, seen)
}
