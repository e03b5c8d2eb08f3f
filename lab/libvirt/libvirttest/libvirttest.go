// Package libvirttest gives tests a libvirtd of their own (package libvirt), and says what to do where there is none.
package libvirttest

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/deskstorm/deskstorm/lab/libvirt"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
)

// startTimeout bounds a start: 0.2 s for a daemon, and 1-3 s for its first desktop, before which it asks QEMU what it can.
const startTimeout = time.Minute

// Require skips the test where no daemon can be started, as qemutest.RequireProgram does for a program.
func Require(t testing.TB) {
	t.Helper()
	qemutest.Require(t)
	qemutest.RequireProgram(t, libvirt.Program, "libvirt-daemon libvirt-daemon-driver-qemu")
	qemutest.RequireProgram(t, "unshare", "util-linux")
	out, err := exec.Command("unshare", append(libvirt.Namespaces(), "true")...).CombinedOutput()
	if err == nil {
		return
	}
	if os.Getenv("CI") == "true" || os.Getenv("DESKSTORM_REQUIRE_PROGRAMS") == "1" {
		t.Fatalf("no namespaces for a libvirtd: %v: %s", err, out)
	}
	t.Skipf("no namespaces for a libvirtd: %v: %s", err, out)
}

// StartT starts a daemon that is closed when the test ends. It calls Require.
func StartT(t testing.TB, config libvirt.Config) *libvirt.Daemon {
	t.Helper()
	Require(t)
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	daemon, err := libvirt.Start(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := daemon.Close(); err != nil {
			t.Error(err)
		}
	})
	return daemon
}

// BootT boots a desktop with a graphics element and returns its UUID.
func BootT(t testing.TB, daemon *libvirt.Daemon, name, graphics string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	id, err := daemon.Boot(ctx, name, graphics)
	if err != nil {
		t.Fatal(err)
	}
	return id
}
