package rabbitmq_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/lab/rabbitmq"
	"github.com/deskstorm/deskstorm/lab/rabbitmq/rabbitmqtest"
)

func TestServer(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s := rabbitmqtest.StartT(t)
	declare := func(passive bool) error {
		c, err := amqp.Dial(s.URL)
		require.NoError(t, err)
		defer c.Close()
		channel, err := c.Channel()
		require.NoError(t, err)
		if passive {
			_, err = channel.QueueDeclarePassive("kept", true, false, false, false, nil)
			return err
		}
		_, err = channel.QueueDeclare("kept", true, false, false, false, nil)
		return err
	}
	require.Error(t, declare(true), "it begins empty")
	require.NoError(t, declare(false))
	before := s.URL
	require.NoError(t, s.Restart(t.Context()))
	require.Equal(t, before, s.URL)
	require.NoError(t, declare(true), "a durable queue outlives a crash")

	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	uri, err := amqp.ParseURI(s.URL)
	require.NoError(t, err)
	_, err = net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: uri.Port})
	require.ErrorContains(t, err, "refused")
	requireNoFiles(t)
}

func TestStartFails(t *testing.T) {
	qemutest.RequireProgram(t, rabbitmq.Program(), "rabbitmq-server")
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := rabbitmq.Start(ctx)
	require.ErrorContains(t, err, "deadline exceeded")
	requireNoFiles(t)
}

func requireNoFiles(t *testing.T) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "deskstorm-rabbitmq-*"))
	require.NoError(t, err)
	require.Empty(t, left)
}
