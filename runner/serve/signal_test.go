package serve_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/runner/schedule"
	"github.com/deskstorm/deskstorm/runner/serve"
)

// serviceEnv makes the test's binary the service: its value is how long a run takes to undo what it did.
const (
	serviceEnv = "SERVE_TEST_SERVICE"
	folderEnv  = "SERVE_TEST_FOLDER" // the test's: a service that ends at once removes none
)

func TestMain(m *testing.M) {
	if undoing := os.Getenv(serviceEnv); undoing != "" {
		if err := service(undoing); err != nil {
			fmt.Println(err)
			os.Exit(2)
		}
		return
	}
	os.Exit(m.Run())
}

func service(undoing string) error {
	takes, err := time.ParseDuration(undoing)
	if err != nil {
		return err
	}
	store, err := schedule.OpenFile(filepath.Join(os.Getenv(folderEnv), "state.json"))
	if err != nil {
		return err
	}
	s, err := serve.Listen(serve.Options{
		Addresses: []string{"127.0.0.1:0"}, Store: store, Log: slog.New(slog.DiscardHandler),
		Jobs: []schedule.Job{{Name: "a", Cron: "@yearly"}}, Runs: slowly(takes),
	})
	if err != nil {
		return err
	}
	fmt.Println(s.Addresses[0])
	if err := s.ServeUntilSignal(context.Background()); err != nil {
		return err
	}
	fmt.Println("ended")
	return nil
}

// slowly are runs that take a while to undo what they did.
type slowly time.Duration

func (s slowly) Run(ctx context.Context, _ schedule.Start, _ func(serve.Progress)) serve.Result {
	fmt.Println("injected")
	<-ctx.Done()
	fmt.Println("undoing:", context.Cause(ctx))
	time.Sleep(time.Duration(s))
	fmt.Println("undone")
	return serve.Result{Outcome: serve.Interrupted}
}

// TestSignals: SIGTERM lets runs undo what they did; a second one does not wait for that.
func TestSignals(t *testing.T) {
	for _, c := range []struct {
		name, undoing string
		signals       int
	}{{"one", "200ms", 1}, {"two", "1h", 2}} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), serviceEnv+"="+c.undoing, folderEnv+"="+t.TempDir())
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			t.Cleanup(func() { _ = cmd.Process.Kill() })
			lines := bufio.NewScanner(out)
			require.True(t, lines.Scan())
			url := "http://" + lines.Text()
			require.Eventually(t, func() bool {
				a, err := http.Post(url+"/v1/jobs/a/run", "", strings.NewReader(""))
				require.NoError(t, err)
				defer a.Body.Close()
				_, err = io.Copy(io.Discard, a.Body)
				require.NoError(t, err)
				return a.StatusCode == http.StatusAccepted
			}, patience, 20*time.Millisecond)
			require.True(t, lines.Scan())
			require.Equal(t, "injected", lines.Text())
			require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
			require.True(t, lines.Scan())
			require.Equal(t, "undoing: the runner was stopped", lines.Text())
			a, err := http.Get(url + "/-/ready")
			require.NoError(t, err, "it is shown until it is undone")
			a.Body.Close()
			require.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
			if c.signals == 2 {
				require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
				require.False(t, lines.Scan(), "nothing more is said")
				require.ErrorContains(t, cmd.Wait(), "terminated")
				return
			}
			require.True(t, lines.Scan())
			require.Equal(t, "undone", lines.Text())
			require.True(t, lines.Scan())
			require.Equal(t, "ended", lines.Text())
			require.NoError(t, cmd.Wait())
		})
	}
}
