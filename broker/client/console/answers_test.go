package console_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/broker/client/console"
	"github.com/deskstorm/deskstorm/lab/qemu"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
)

func TestAnswersOverTLS(t *testing.T) {
	qemutest.Require(t)
	files, authority := qemutest.TLSFiles(t)
	_, another := qemutest.TLSFiles(t)
	desktop := qemutest.StartT(t, qemu.Config{TLS: files, Ticket: "correct horse", Accelerator: "tcg"})
	for name, c := range map[string]struct {
		change func(*client.Console)
		err    error
	}{
		"by the host's name": {},
		"by its subject":     {change: func(c *client.Console) { c.Subject = qemutest.Subject }},
		"another subject":    {change: func(c *client.Console) { c.Subject = "CN=another" }, err: console.ErrRefused},
		"another authority":  {change: func(c *client.Console) { c.CA = string(another) }, err: console.ErrRefused},
		"no certificate":     {change: func(c *client.Console) { c.CA = "no PEM" }, err: console.ErrRefused},
		"another ticket":     {change: func(c *client.Console) { c.Ticket = "battery staple" }, err: console.ErrRefused},
		"no port":            {change: func(c *client.Console) { c.TLSPort = 0 }, err: console.ErrRefused},
	} {
		t.Run(name, func(t *testing.T) {
			at := client.Console{Host: desktop.Host, TLSPort: desktop.TLSPort, Ticket: "correct horse", CA: string(authority)}
			if c.change != nil {
				c.change(&at)
			}
			err := console.Answers(t.Context(), at)
			require.ErrorIs(t, err, c.err)
			if err != nil {
				require.NotContains(t, err.Error(), at.Ticket)
			}
		})
	}
}

func TestAnswersWaitsForItsContext(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	require.NoError(t, err)
	defer listener.Close()
	at := client.Console{Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err = console.Answers(ctx, at)
	require.ErrorIs(t, err, console.ErrRefused)
	require.ErrorIs(t, err, context.DeadlineExceeded)

	cancelled, stop := context.WithCancel(t.Context())
	stop()
	require.NotErrorIs(t, console.Answers(cancelled, at), console.ErrRefused)
}
