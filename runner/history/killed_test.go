package history_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/child"
	"github.com/deskstorm/deskstorm/runner/history"
	"github.com/deskstorm/deskstorm/runner/record"
)

// saverVariable makes this test's program one that saves runs until it is killed.
const saverVariable = "DESKSTORM_HISTORY_TEST_SAVER"

func TestMain(m *testing.M) {
	if dsn := os.Getenv(saverVariable); dsn != "" {
		fmt.Println(save(dsn))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// save claims, begins and saves runs, one after the other, each with as many steps as windows.
func save(dsn string) error {
	ctx := context.Background()
	s, err := history.OpenDSN(ctx, dsn)
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		id := fmt.Sprintf("%d-%d", os.Getpid(), i)
		r := record.Run{ID: id, Experiment: "killed", Began: time.Now(), Journal: []byte("{}")}
		lease, err := s.Claim(ctx, r.Experiment, id, 300*time.Millisecond)
		if err != nil {
			time.Sleep(10 * time.Millisecond) // the one before was killed a moment ago
			continue
		}
		if err := s.Begin(ctx, r); err != nil {
			return err
		}
		for n := range 50 {
			r.Activities = append(r.Activities, record.Activity{Name: fmt.Sprint(n)})
		}
		r.Status, r.Ended = record.Completed, time.Now()
		if err := s.Save(ctx, r, "passed", []byte("{}")); err != nil {
			return err
		}
		if err := lease.Release(ctx); err != nil {
			return err
		}
	}
}

// A runner that is killed at any moment leaves whole runs, and one at most that was going on, which is found to be dead.
func TestKilled(t *testing.T) {
	kills := 20
	if testing.Short() {
		kills = 3
	}
	test := func(t *testing.T, dsn string) {
		rng := rand.New(rand.NewPCG(8, 8))
		s := open(t, dsn)
		dead := 0
		for range kills {
			command := exec.Command(os.Args[0])
			command.Env = append(os.Environ(), saverVariable+"="+dsn)
			p, err := child.Start(command)
			require.NoError(t, err)
			before, err := s.List(t.Context(), history.Filter{})
			require.NoError(t, err)
			require.Eventually(t, func() bool {
				all, err := s.List(t.Context(), history.Filter{Limit: len(before) + 3})
				return err == nil && len(all) > len(before)
			}, 30*time.Second, 5*time.Millisecond, "%s", p.Said)
			time.Sleep(time.Duration(rng.Int64N(int64(50 * time.Millisecond)))) // anywhere in its loop
			p.Kill()
			require.Eventually(t, func() bool {
				ids, err := s.MarkDead(t.Context())
				if err != nil {
					t.Error(err)
				}
				dead += len(ids)
				going, err := s.List(t.Context(), history.Filter{Limit: 1})
				return err == nil && !going[0].Running
			}, 10*time.Second, 20*time.Millisecond)
		}
		all, err := s.List(t.Context(), history.Filter{})
		require.NoError(t, err)
		for _, k := range all {
			require.False(t, k.Running)
			whole, err := s.Run(t.Context(), k.ID)
			require.NoError(t, err)
			if k.Status == record.Completed {
				require.Len(t, whole.Activities, 50)
				require.Equal(t, "passed", whole.Outcome)
				require.NotEmpty(t, whole.Verdict)
				require.NotEmpty(t, whole.Journal)
				continue
			}
			require.Equal(t, record.Interrupted, k.Status)
			require.True(t, strings.Contains(k.Error, "died"), k.Error)
		}
		t.Logf("%d kills, %d runs, %d of them were going on", kills, len(all), dead)
	}
	t.Run("SQLite", func(t *testing.T) { test(t, "sqlite://"+filepath.Join(t.TempDir(), "history.db")) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, startPostgres(t).DSN) })
}
