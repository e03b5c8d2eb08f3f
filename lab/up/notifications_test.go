package up_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/lab/control"
	"github.com/deskstorm/deskstorm/lab/rabbitmq/rabbitmqtest"
	"github.com/deskstorm/deskstorm/lab/up"
)

// TestNotifications: what the broker has Nova do is on the message bus whose URL a file has, and the lab's state says so.
func TestNotifications(t *testing.T) {
	t.Parallel()
	bus := rabbitmqtest.StartT(t)
	file := filepath.Join(t.TempDir(), "url")
	require.NoError(t, os.WriteFile(file, []byte(bus.URL+"\n"), 0o600))
	c := start(t, up.Options{Users: 1, Desktops: 1, Ready: 1, NotificationURL: configfile.Secret{File: file}})
	var state control.State
	require.Eventually(t, func() bool {
		response, err := http.Get(c.Control + "/v1/state")
		require.NoError(t, err)
		defer response.Body.Close()
		require.NoError(t, json.NewDecoder(response.Body).Decode(&state))
		return state.Notifications != nil && state.Notifications.Sent > 0 && state.Notifications.Waiting == 0
	}, 30*time.Second, 20*time.Millisecond)
	require.Zero(t, state.Notifications.Dropped)
	require.Empty(t, state.Notifications.Error)
}

func TestNotificationsWithoutURL(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "url")
	_, err := up.Sim(t.Context(), up.Options{Users: 1, Desktops: 1, NotificationURL: configfile.Secret{File: missing}})
	require.ErrorContains(t, err, missing)
	wrong := filepath.Join(t.TempDir(), "url")
	require.NoError(t, os.WriteFile(wrong, []byte("http://user:secret@host/"), 0o600))
	_, err = up.Sim(t.Context(), up.Options{Users: 1, Desktops: 1, NotificationURL: configfile.Secret{File: wrong}})
	require.ErrorContains(t, err, "amqp://")
	require.NotContains(t, err.Error(), "secret")
}
