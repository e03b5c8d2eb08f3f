package rabbitmq_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/netns/netnstest"
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

// TestConfig: a broker in a network of its own, whose management API answers there and nowhere else.
func TestConfig(t *testing.T) {
	qemutest.RequireProgram(t, rabbitmq.Program(), "rabbitmq-server")
	broker := netnstest.New(t, "broker")
	s := rabbitmqtest.StartConfigT(t, rabbitmq.Config{Namespace: broker, Management: true, KeepAlive: true})
	get := func() error {
		var conn net.Conn
		err := broker.Do(func() (err error) {
			conn, err = net.Dial("tcp4", strings.TrimPrefix(s.Management, "http://"))
			return err
		})
		if err != nil {
			return err
		}
		defer conn.Close()
		request, err := http.NewRequest("GET", s.Management+"/api/overview", nil)
		if err != nil {
			return err
		}
		request.SetBasicAuth("guest", "guest")
		if err := request.Write(conn); err != nil {
			return err
		}
		response, err := http.ReadResponse(bufio.NewReader(conn), request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return errors.New(response.Status)
		}
		return nil
	}
	require.NoError(t, get())
	_, err := amqp.Dial(s.URL)
	require.ErrorContains(t, err, "refused", "it is not here")
	require.NoError(t, s.Restart(t.Context()))
	require.NoError(t, get())
}
