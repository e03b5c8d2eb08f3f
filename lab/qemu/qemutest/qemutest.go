// Package qemutest gives tests a desktop under QEMU (package qemu), and says what to do where there is no QEMU.
package qemutest

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/deskstorm/deskstorm/lab/qemu"
)

// startTimeout bounds the start of one desktop: firmware alone took 11 s under a paravirtual KVM on a busy machine.
const startTimeout = time.Minute

// Require skips the test where desktops cannot be started, as RequireProgram does for QEMU.
func Require(t testing.TB) {
	t.Helper()
	RequireProgram(t, qemu.Program, "qemu-system-x86")
}

// RequireProgram skips the test with -short, and where program is not in PATH. In continuous integration (CI=true or
// DESKSTORM_REQUIRE_PROGRAMS=1 in the environment) a missing program fails the test instead: nobody reads skips there.
func RequireProgram(t testing.TB, program, debianPackage string) {
	t.Helper()
	if testing.Short() {
		t.Skipf("needs %s; run make test", program)
	}
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	if os.Getenv("CI") == "true" || os.Getenv("DESKSTORM_REQUIRE_PROGRAMS") == "1" {
		t.Fatalf("%s is missing: apt-get install %s", program, debianPackage)
	}
	t.Skipf("needs %s: apt-get install %s", program, debianPackage)
}

// StartT starts a desktop that is closed when the test ends. It calls Require.
func StartT(t testing.TB, config qemu.Config) *qemu.Desktop {
	t.Helper()
	Require(t)
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	desktop, err := qemu.Start(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := desktop.Close(); err != nil {
			t.Error(err)
		}
	})
	return desktop
}
