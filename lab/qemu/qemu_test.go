package qemu_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/qemu"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
)

// Most tests use TCG: nothing in them depends on the accelerator, and TCG boots the guest within a second everywhere.
const tcg = "tcg"

const deadline = 30 * time.Second

func TestStartOnEachAccelerator(t *testing.T) {
	for _, accelerator := range []string{"kvm", tcg} {
		t.Run(accelerator, func(t *testing.T) {
			qemutest.Require(t)
			if accelerator == "kvm" && qemu.Accelerator() != "kvm" {
				t.Skip("no usable /dev/kvm here")
			}
			begin := time.Now()
			d := qemutest.StartT(t, qemu.Config{Accelerator: accelerator})
			t.Logf("ready after %v", time.Since(begin).Round(time.Millisecond))

			require.Equal(t, "running", status(t, d))
			require.EqualValues(t, linkOK, link(t, dial(t, d.Host, d.Port), ""))
			require.Zero(t, d.TLSPort)
			group, err := syscall.Getpgid(d.PID())
			require.NoError(t, err)
			require.Equal(t, d.PID(), group, "a Ctrl-C on the terminal must not reach QEMU")
		})
	}
}

func TestGuestEchoesKeysUntilItHangs(t *testing.T) {
	d := qemutest.StartT(t, qemu.Config{Accelerator: tcg})
	empty := blinking(t, d)

	press(t, d, "a")
	waitUntilShown(t, d, "the key", func(picture string) bool { return !slices.Contains(empty, picture) })
	press(t, d, "backspace")
	waitUntilShown(t, d, "the erased key", func(picture string) bool { return slices.Contains(empty, picture) })

	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	require.NoError(t, d.Hang(ctx))
	require.NoError(t, d.Hang(ctx), "a hung desktop stays hung")
	press(t, d, "a")
	require.ElementsMatch(t, empty, blinking(t, d), "a hung guest shows no key; its cursor is QEMU's and blinks on")
	require.Equal(t, "running", status(t, d))
	require.EqualValues(t, linkOK, link(t, dial(t, d.Host, d.Port), ""), "its SPICE server does not hang")
}

func TestPauseAndResume(t *testing.T) {
	d := qemutest.StartT(t, qemu.Config{Accelerator: tcg})
	require.NoError(t, d.Pause(t.Context()))
	require.Equal(t, "paused", status(t, d))
	require.NoError(t, d.Resume(t.Context()))
	require.Equal(t, "running", status(t, d))
}

func TestTickets(t *testing.T) {
	const first, second = "first ticket", "second ticket"
	d := qemutest.StartT(t, qemu.Config{Accelerator: tcg, Ticket: first})
	answer := func(ticket string) uint32 { return link(t, dial(t, d.Host, d.Port), ticket) }

	require.EqualValues(t, permissionDenied, answer(second))
	require.EqualValues(t, linkOK, answer(first))

	require.NoError(t, d.SetTicket(t.Context(), second, 0))
	require.EqualValues(t, permissionDenied, answer(first))
	require.EqualValues(t, linkOK, answer(second))

	require.NoError(t, d.SetTicket(t.Context(), first, time.Millisecond))
	require.Eventually(t, func() bool { return answer(first) == permissionDenied }, deadline, 100*time.Millisecond,
		"the ticket must expire")

	commandLine, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", d.PID()))
	require.NoError(t, err)
	require.NotContains(t, string(commandLine), first)
}

func TestSetTicketRefuses(t *testing.T) {
	with := qemutest.StartT(t, qemu.Config{Accelerator: tcg, Ticket: "ticket"})
	without := qemutest.StartT(t, qemu.Config{Accelerator: tcg})
	long := strings.Repeat("x", 61)
	for name, test := range map[string]struct {
		desktop *qemu.Desktop
		ticket  string
		valid   time.Duration
		want    string
	}{
		"empty":             {with, "", 0, "empty"},
		"too long":          {with, long, 0, "61 bytes"},
		"with a NUL":        {with, "a\x00b", 0, "NUL"},
		"negative validity": {with, "other", -time.Second, "negative"},
		"without ticketing": {without, "other", 0, "set_password"},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.desktop.SetTicket(t.Context(), test.ticket, test.valid)
			require.ErrorContains(t, err, test.want)
			if test.ticket != "" {
				require.NotContains(t, err.Error(), test.ticket)
			}
		})
	}
}

func TestTLS(t *testing.T) {
	files, authority := qemutest.TLSFiles(t)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(authority))
	for _, all := range []bool{false, true} {
		t.Run(fmt.Sprintf("all channels %t", all), func(t *testing.T) {
			d := qemutest.StartT(t, qemu.Config{Accelerator: tcg, TLS: &qemu.TLSFiles{Dir: files.Dir, AllChannels: all}})
			plain := link(t, dial(t, d.Host, d.Port), "")
			if all {
				require.EqualValues(t, needSecured, plain)
			} else {
				require.EqualValues(t, linkOK, plain)
			}
			secure := tls.Client(dial(t, d.Host, d.TLSPort), &tls.Config{RootCAs: roots, ServerName: d.Host})
			require.EqualValues(t, linkOK, link(t, secure, ""))
		})
	}
}

func TestImageCompression(t *testing.T) {
	for _, compression := range []string{"off", "lz"} {
		t.Run(compression, func(t *testing.T) {
			d := qemutest.StartT(t, qemu.Config{Accelerator: tcg, ImageCompression: compression})
			require.Equal(t, "running", status(t, d))
		})
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	d := qemutest.StartT(t, qemu.Config{Accelerator: tcg, Ticket: "ticket"})
	require.DirExists(t, d.Dir())
	require.NoError(t, d.Close())
	requireGone(t, d.PID())
	require.NoDirExists(t, d.Dir())
	require.NoError(t, d.Close(), "a second Close does nothing")
}

func TestKill(t *testing.T) {
	d := qemutest.StartT(t, qemu.Config{Accelerator: tcg})
	d.Kill()
	requireGone(t, d.PID())
	d.Kill()
	require.Error(t, d.Pause(t.Context()))
	require.Error(t, d.Hang(t.Context()))
	require.NoError(t, d.Close())
	require.NoDirExists(t, d.Dir())
}

// TestStoppedQEMUIsClosed has a QEMU that answers nothing at all.
func TestStoppedQEMUIsClosed(t *testing.T) {
	d := qemutest.StartT(t, qemu.Config{Accelerator: tcg})
	require.NoError(t, syscall.Kill(d.PID(), syscall.SIGSTOP))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, d.Pause(ctx), context.DeadlineExceeded)
	require.ErrorIs(t, d.Hang(ctx), context.DeadlineExceeded)
	require.NoError(t, d.Close())
	requireGone(t, d.PID())
}

func TestMigration(t *testing.T) {
	from := qemutest.StartT(t, qemu.Config{Accelerator: tcg, Ticket: "ticket"})
	to := qemutest.StartT(t, qemu.Config{Accelerator: tcg, Ticket: "ticket", Incoming: true})
	require.Equal(t, "inmigrate", status(t, to))
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()

	require.ErrorContains(t, to.MigrateTo(ctx, from), "Incoming")
	require.NoError(t, from.MigrateTo(ctx, to))
	require.Equal(t, "postmigrate", status(t, from))
	require.Equal(t, "running", status(t, to))
	require.NoError(t, from.Close())
	require.EqualValues(t, linkOK, link(t, dial(t, to.Host, to.Port), "ticket"))
	require.NoError(t, to.Hang(ctx), "the guest still lives")
}

func TestStartFails(t *testing.T) {
	qemutest.Require(t)
	t.Setenv("TMPDIR", t.TempDir())
	const never = 0
	for name, test := range map[string]struct {
		timeout time.Duration
		config  qemu.Config
		want    string
	}{
		"already too late":     {never, qemu.Config{}, "deadline exceeded"},
		"too late for a guest": {50 * time.Millisecond, qemu.Config{}, "deadline exceeded"},
		"too late for QMP":     {5 * time.Millisecond, qemu.Config{Incoming: true}, "deadline exceeded"},
		"bad compression":      {deadline, qemu.Config{ImageCompression: "lz4"}, "invalid image compression: lz4"},
		"no certificates":      {deadline, qemu.Config{TLS: &qemu.TLSFiles{Dir: t.TempDir()}}, "QEMU wrote"},
		"long ticket":          {deadline, qemu.Config{Ticket: strings.Repeat("x", 61)}, "61 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), test.timeout)
			defer cancel()
			test.config.Accelerator = tcg
			_, err := qemu.Start(ctx, test.config)
			require.ErrorContains(t, err, test.want)
			left, err := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "deskstorm-qemu-*"))
			require.NoError(t, err)
			require.Empty(t, left)
			requireNoChildren(t)
		})
	}
}

// TestCommandsWhileClientsComeAndGo has QEMU send events while it is told things.
func TestCommandsWhileClientsComeAndGo(t *testing.T) {
	d := qemutest.StartT(t, qemu.Config{Accelerator: tcg, Ticket: "ticket 0"})
	for i := range 10 {
		require.EqualValues(t, linkOK, link(t, dial(t, d.Host, d.Port), fmt.Sprint("ticket ", i)))
		require.NoError(t, d.SetTicket(t.Context(), fmt.Sprint("ticket ", i+1), 0))
		require.EqualValues(t, permissionDenied, link(t, dial(t, d.Host, d.Port), fmt.Sprint("ticket ", i)))
	}
}

// TestTakenPortIsRecognised proves what lets Start try again with other ports.
func TestTakenPortIsRecognised(t *testing.T) {
	qemutest.Require(t)
	other, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer other.Close()
	_, err = qemu.StartOn(t.Context(), qemu.Config{Accelerator: tcg}, other.Addr().(*net.TCPAddr).Port)
	require.ErrorIs(t, err, qemu.ErrPortTaken)
}

// TestQEMUDiesWithItsParent runs this test binary again, as a parent that starts a desktop and is killed.
func TestQEMUDiesWithItsParent(t *testing.T) {
	const role = "DESKSTORM_TEST_PARENT"
	if os.Getenv(role) != "" {
		d, err := qemu.Start(t.Context(), qemu.Config{Accelerator: tcg})
		require.NoError(t, err)
		fmt.Printf("pid %d\n", d.PID())
		select {}
	}
	qemutest.Require(t)
	parent := exec.Command(os.Args[0], "-test.run=^TestQEMUDiesWithItsParent$", "-test.timeout=1m")
	parent.Env = append(os.Environ(), role+"=1", "TMPDIR="+t.TempDir())
	out, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	pid := 0
	for lines := bufio.NewScanner(out); pid == 0 && lines.Scan(); {
		if s, found := strings.CutPrefix(lines.Text(), "pid "); found {
			pid, err = strconv.Atoi(s)
			require.NoError(t, err)
		}
	}
	require.NoError(t, parent.Process.Kill())
	_ = parent.Wait() // killed
	require.NotZero(t, pid, "the parent started no desktop")
	require.Eventually(t, func() bool { return !runs(pid) }, deadline, 10*time.Millisecond)
}

// runs tells whether a process exists and is no zombie: an orphan's zombie waits for an init that may not reap.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := bytes.Cut(stat, []byte(") "))
	return !bytes.HasPrefix(state, []byte("Z"))
}

func requireGone(t *testing.T, pid int) {
	t.Helper()
	require.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH)
}

// requireNoChildren fails if this process has a child left, running or not reaped.
func requireNoChildren(t *testing.T) {
	t.Helper()
	_, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
	require.ErrorIs(t, err, syscall.ECHILD)
}

func status(t *testing.T, d *qemu.Desktop) string {
	t.Helper()
	var s struct {
		Status string `json:"status"`
	}
	require.NoError(t, d.Execute(t.Context(), "query-status", nil, &s))
	return s.Status
}

// press presses and releases a key, named as in QMP's QKeyCode.
func press(t *testing.T, d *qemu.Desktop, key string) {
	t.Helper()
	args := map[string]any{"keys": []any{map[string]string{"type": "qcode", "data": key}}}
	require.NoError(t, d.Execute(t.Context(), "send-key", args, nil))
}

// screenshot returns a digest of what the desktop shows.
func screenshot(t *testing.T, d *qemu.Desktop) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "screen.ppm")
	require.NoError(t, d.Execute(t.Context(), "screendump", map[string]string{"filename": file}, nil))
	picture, err := os.ReadFile(file)
	require.NoError(t, err)
	return fmt.Sprintf("%x", sha256.Sum256(picture))
}

// blinking returns the two pictures that a blinking cursor makes of a screen on which nothing else happens.
func blinking(t *testing.T, d *qemu.Desktop) []string {
	t.Helper()
	first := screenshot(t, d)
	second := first
	waitUntilShown(t, d, "the other phase of the cursor", func(picture string) bool {
		second = picture
		return second != first
	})
	return []string{first, second}
}

func waitUntilShown(t *testing.T, d *qemu.Desktop, what string, shown func(picture string) bool) {
	t.Helper()
	for end := time.Now().Add(deadline); time.Now().Before(end); {
		if shown(screenshot(t, d)) {
			return
		}
	}
	t.Fatalf("%s is not shown", what)
}
