// Package disktest is small disks for tests of what happens when they are full.
package disktest

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// New is Mount in a folder of the test's, which it returns.
func New(t testing.TB, size string) string {
	t.Helper()
	dir := t.TempDir()
	Mount(t, dir, size)
	return dir
}

// Mount mounts a disk in memory of a size such as "64k" or "4m", until the test ends. Without the right to mount the test is skipped,
// and fails in continuous integration (CI=true or DESKSTORM_REQUIRE_PROGRAMS=1 in the environment): nobody reads skips there.
func Mount(t testing.TB, dir, size string) {
	t.Helper()
	if err := syscall.Mount("deskstorm-test", dir, "tmpfs", 0, "size="+size); err != nil {
		if os.Getenv("CI") == "true" || os.Getenv("DESKSTORM_REQUIRE_PROGRAMS") == "1" {
			t.Fatalf("the test mounts a disk; run it as root: %v", err)
		}
		t.Skipf("mounts a disk; run it as root: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
}
