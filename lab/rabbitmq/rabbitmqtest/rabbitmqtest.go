// Package rabbitmqtest gives tests a RabbitMQ server (package rabbitmq).
package rabbitmqtest

import (
	"context"
	"testing"
	"time"

	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/lab/rabbitmq"
)

// startTimeout bounds the start of one broker: it takes some seconds, and more on a busy machine.
const startTimeout = 2 * time.Minute

// StartT is StartConfigT for a broker on loopback.
func StartT(t testing.TB) *rabbitmq.Server {
	t.Helper()
	return StartConfigT(t, rabbitmq.Config{})
}

// StartConfigT starts a broker that is closed when the test ends. Without RabbitMQ it skips the test, as
// qemutest.RequireProgram does.
func StartConfigT(t testing.TB, config rabbitmq.Config) *rabbitmq.Server {
	t.Helper()
	qemutest.RequireProgram(t, rabbitmq.Program(), "rabbitmq-server")
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	server, err := rabbitmq.StartConfig(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}
