package service_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/broker/pool"
	"github.com/deskstorm/deskstorm/broker/store"
	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/lab/sim/directory"
)

// BenchmarkMemory is what a broker takes with 10,000 bindings: at rest after it has inspected all its desktops several
// times, and after logins.
func BenchmarkMemory(b *testing.B) {
	const bindings = 10_000
	for b.Loop() {
		dsn := "sqlite://" + filepath.Join(b.TempDir(), "broker.db")
		records, err := store.Open(b.Context(), dsn)
		require.NoError(b, err)
		spec := pool.Spec{Flavor: "desktop.small", Image: "desktop", Networks: []string{"desktops"}}
		var ids []string
		var servers []sim.ServerSeed
		for range bindings {
			id := uuid.NewString()
			ids = append(ids, id)
			servers = append(servers, sim.ServerSeed{ID: uuid.NewString(), Name: pool.ServerName(store.Desktop{ID: id, Pool: "own"}),
				Metadata: map[string]string{"deskstorm_desktop": id, "deskstorm_pool": "own", cloud.OwnerKey: "killed"},
				Tags:     []string{"deskstorm-pool=own", cloud.OwnerTag + "=killed"}})
		}
		_, err = records.AddDesktops(b.Context(), "own", spec.ID(), bindings, ids, time.Now())
		require.NoError(b, err)
		for i, id := range ids {
			require.NoError(b, records.SetServer(b.Context(), id, servers[i].ID))
			_, err := records.SetReady(b.Context(), id, time.Now())
			require.NoError(b, err)
			_, err = records.Allocate(b.Context(), store.Want{Pool: "own", Kind: store.BindUser, Key: fmt.Sprintf("agent%04d", i+1),
				Session: store.Session{ID: "s" + id, User: "u" + id, Began: time.Now()}}, time.Now())
			require.NoError(b, err)
		}
		require.NoError(b, records.Close())

		world := newWorld(b, dsn, sim.Config{Servers: servers})
		broker := world.start()
		time.Sleep(8 * time.Second) // inspections are one second apart, if they keep up
		b.ReportMetric(resident(b, broker.Process.Pid), "rest-MB")
		for i := range 200 {
			// The people in the group "sales" are bound to their desktops: the first six of each 24.
			n := i/6*24 + i%6
			if n >= people {
				n = n % 6
			}
			name := fmt.Sprintf("agent%04d", n+1)
			s, err := world.driver.Login(b.Context(), client.Login{User: name, Password: directory.Password(name)})
			require.NoError(b, err)
			require.NoError(b, world.driver.Logout(b.Context(), s))
		}
		b.ReportMetric(resident(b, broker.Process.Pid), "working-MB")
		b.ReportMetric(peak(b, broker.Process.Pid), "peak-MB")
		broker.Kill()
	}
}

func resident(b *testing.B, pid int) float64 { return status(b, pid, "VmRSS") }
func peak(b *testing.B, pid int) float64     { return status(b, pid, "VmHWM") }

// status is a value of /proc/PID/status in MB.
func status(b *testing.B, pid int, name string) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(b, err)
	found := regexp.MustCompile(name + `:\s+(\d+) kB`).FindSubmatch(text)
	require.NotNil(b, found)
	kb, err := strconv.Atoi(string(found[1]))
	require.NoError(b, err)
	return float64(kb) * 1024 / 1e6
}
