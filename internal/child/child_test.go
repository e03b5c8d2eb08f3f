package child

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// parentVariable makes the test's own program a parent that starts a child,
// says its pid, and waits.
const parentVariable = "DESKSTORM_CHILD_TEST_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(parentVariable) == "" {
		os.Exit(m.Run())
	}
	p, err := Start(exec.Command("sleep", "60"))
	if err != nil {
		os.Exit(1)
	}
	println(p.Process.Pid)
	<-p.Done
}

func TestDiesWithItsParent(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentVariable+"=1")
	stderr, err := parent.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	line, err := bufio.NewReader(stderr).ReadString('\n')
	require.NoError(t, err)
	pid := strings.TrimSpace(line)
	require.NoError(t, parent.Process.Kill())
	parent.Wait()
	require.Eventually(t, func() bool {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ") // nobody may reap it here
	}, 5*time.Second, time.Millisecond)
}

func TestKillAndSaid(t *testing.T) {
	p, err := Start(exec.Command("sh", "-c", "echo first; head -c 5000 /dev/zero | tr '\\0' x >&2; echo; echo last >&2; exec sleep 60"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return strings.HasSuffix(p.Said.String(), "last") }, 5*time.Second, time.Millisecond)
	require.NotContains(t, p.Said.String(), "first", "only the end is kept")
	group, err := syscall.Getpgid(p.Process.Pid)
	require.NoError(t, err)
	require.Equal(t, p.Process.Pid, group)
	p.Kill()
	p.Kill()
	require.ErrorContains(t, p.Err, "killed")
}

func TestStartFails(t *testing.T) {
	_, err := Start(exec.Command("/nowhere"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
