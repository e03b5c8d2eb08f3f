package up_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/broker/store"
	"github.com/deskstorm/deskstorm/lab/up"
)

// must asks the operators' API for something that works.
func (c *cell) must(t *testing.T, method, path string, body any) map[string]any {
	t.Helper()
	status, answer := c.operate(t, method, path, body)
	require.Less(t, status, 300, "%s %s: %v", method, path, answer)
	return answer
}

// gone waits until a desktop and its server are no more.
func (c *cell) gone(t *testing.T, d store.Desktop) {
	t.Helper()
	await(t, "the desktop is gone", func() bool {
		for _, other := range c.desktops(t, "", "") {
			if other.ID == d.ID {
				return false
			}
		}
		_, there := c.Sim.Server(d.ServerID)
		return !there
	})
}

// TestOperators: what people do to desktops while others work on them.
func TestOperators(t *testing.T) {
	t.Parallel()
	c := startCell(t, up.Options{Users: 6, Desktops: 5, Ready: 2, Lease: time.Minute})
	broker := c.drivers[viaBroker].(*client.Broker)
	u := c.user(1)

	t.Run("drain a ready one", func(t *testing.T) {
		d := c.desktops(t, "standard", store.Ready)[0]
		c.must(t, "POST", "/v1/desktops/"+d.ID+"/drain", nil)
		c.gone(t, d)
		c.settle(t)
	})
	t.Run("drain one in use", func(t *testing.T) {
		s := c.in(t, viaBroker, u)
		d := c.desktopOf(t, s)
		c.must(t, "POST", "/v1/desktops/"+d.ID+"/drain", nil)
		require.NoError(t, broker.Renew(t.Context(), s), "its user may finish")
		_, err := broker.Console(t.Context(), s)
		require.NoError(t, err)
		c.out(t, viaBroker, s)
		c.gone(t, d)
		c.settle(t)
	})
	t.Run("drained, and its user logs in again", func(t *testing.T) {
		s := c.in(t, viaBroker, u)
		d := c.desktopOf(t, s)
		c.must(t, "POST", "/v1/desktops/"+d.ID+"/drain", nil)
		next := c.in(t, viaBroker, u)
		require.NotEqual(t, s.Desktop.ID, next.Desktop.ID)
		c.gone(t, d)
		c.out(t, viaBroker, s, next)
		c.settle(t)
	})
	t.Run("release", func(t *testing.T) {
		s := c.in(t, viaBroker, u)
		d := c.desktopOf(t, s)
		c.must(t, "POST", "/v1/desktops/"+d.ID+"/release", nil)
		require.Equal(t, store.Ready, c.desktopOf(t, s).State)
		requireClass(t, broker.Renew(t.Context(), s), client.SessionNotFound)
		c.out(t, viaBroker, s)
		c.settle(t)
	})
	t.Run("report broken", func(t *testing.T) {
		s := c.in(t, viaBroker, u)
		d := c.desktopOf(t, s)
		c.must(t, "POST", "/v1/desktops/"+d.ID+"/report-broken", map[string]string{"reason": "smoke"})
		c.gone(t, d)
		next := c.in(t, viaBroker, u)
		require.NotEqual(t, s.Desktop.ID, next.Desktop.ID)
		c.out(t, viaBroker, s, next)
		c.settle(t)
	})
	t.Run("rebind and unbind", func(t *testing.T) {
		s := c.in(t, viaBroker, u)
		path := "/v1/bindings/standard/session/" + u.Name
		await(t, "there is another desktop", func() bool { return len(c.desktops(t, "standard", store.Ready)) > 1 })
		ready := c.desktops(t, "standard", store.Ready)
		chosen := ready[len(ready)-1] // no login would choose it
		made := c.must(t, "PUT", path, map[string]string{"desktop_id": chosen.ID})
		require.Equal(t, chosen.ID, made["desktop_id"])
		require.NoError(t, broker.Renew(t.Context(), s), "who works at the one before goes on")
		require.Equal(t, store.Assigned, c.desktopOf(t, s).State)
		c.out(t, viaBroker, s)
		require.Equal(t, store.Ready, c.desktopOf(t, s).State)

		other := c.in(t, viaBroker, c.user(2))
		status, answer := c.operate(t, "PUT", path, map[string]string{"desktop_id": c.desktopOf(t, other).ID})
		require.Equal(t, http.StatusConflict, status, "%v", answer)
		require.Equal(t, string(client.DesktopBusy), answer["class"])
		next := c.in(t, viaBroker, u)
		require.Equal(t, chosen.ServerID, next.Desktop.ID)

		c.must(t, "DELETE", path, nil)
		require.NoError(t, broker.Renew(t.Context(), next))
		c.out(t, viaBroker, next)
		require.Equal(t, store.Ready, c.desktopOf(t, next).State)
		c.out(t, viaBroker, other)
		c.settle(t)
	})
	t.Run("not for everybody", func(t *testing.T) {
		d := c.desktops(t, "standard", store.Ready)[0]
		for _, token := range []string{"", "guessed"} {
			status, answer := c.ask(t, token, "POST", "/v1/desktops/"+d.ID+"/drain", nil)
			require.Equal(t, http.StatusUnauthorized, status)
			require.Equal(t, "operator-only", answer["class"])
		}
		require.Contains(t, c.desktops(t, "standard", store.Ready), d)
	})
	t.Run("not there", func(t *testing.T) {
		for path, method := range map[string]string{
			"/v1/desktops/none/drain": "POST", "/v1/desktops/none/release": "POST", "/v1/bindings/standard/user/nobody": "DELETE",
		} {
			status, answer := c.operate(t, method, path, nil)
			require.Equal(t, http.StatusNotFound, status, path)
			require.Equal(t, "not-found", answer["class"])
		}
		status, _ := c.operate(t, "PUT", "/v1/bindings/standard/user/"+u.Name, map[string]string{"desktop_id": "none"})
		require.Equal(t, http.StatusNotFound, status)
		c.settle(t)
	})
}
