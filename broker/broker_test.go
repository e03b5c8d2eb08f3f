package broker_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker"
	"github.com/deskstorm/deskstorm/broker/allocator"
	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/broker/client/console"
	"github.com/deskstorm/deskstorm/broker/directory"
	"github.com/deskstorm/deskstorm/broker/pool"
	"github.com/deskstorm/deskstorm/broker/store"
)

// everybody is a directory that knows anybody by any password.
type everybody struct{}

func (everybody) Login(_ context.Context, user, _ string) (directory.User, error) {
	return directory.User{Name: user}, nil
}

func (everybody) Check(context.Context) error { return nil }

// silent is a cloud that takes questions and never answers.
type silent struct{ broker.Machines }

func (silent) State(ctx context.Context, _ string) (pool.Machine, error) {
	<-ctx.Done()
	return pool.Machine{}, context.Cause(ctx)
}

func (silent) Find(ctx context.Context, _ console.Desktop) (client.Console, error) {
	<-ctx.Done()
	return client.Console{}, context.Cause(ctx)
}

// TestCloudNeverAnswers: a thin client that waits for good still gets an answer.
func TestCloudNeverAnswers(t *testing.T) {
	records, err := store.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "broker.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, records.Close()) })
	_, err = records.AddDesktops(t.Context(), "standard", "spec", 1, []string{"d1"}, time.Now())
	require.NoError(t, err)
	_, err = records.SetReady(t.Context(), "d1", time.Now())
	require.NoError(t, err)
	rules, err := allocator.New(nil, &allocator.Allocator{Name: "default", Pool: "standard", Bind: store.BindSession})
	require.NoError(t, err)
	b := broker.New(broker.Parts{
		Directory: everybody{}, Allocators: rules, Pools: []pool.Spec{{Name: "standard", Max: 1}}, Store: records,
		Machines: silent{}, Consoles: silent{}, Registerer: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
		Lease: time.Minute, CloudTimeout: 50 * time.Millisecond,
	})
	_, err = b.Login(t.Context(), client.Login{User: "ada", Password: "any"})
	var failed *client.Error
	require.ErrorAs(t, err, &failed)
	require.Equal(t, client.CloudFailed, failed.Class)
	require.Equal(t, client.StepConsole, failed.Step)
	require.Contains(t, failed.Message, "did not answer within 50ms")

	d, err := records.Desktop(t.Context(), "d1")
	require.NoError(t, err)
	require.Equal(t, store.Ready, d.State, "the desktop is given back")
	sessions, err := records.Sessions(t.Context())
	require.NoError(t, err)
	require.Empty(t, sessions)
}
