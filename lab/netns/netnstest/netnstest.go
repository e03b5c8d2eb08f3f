// Package netnstest gives tests network namespaces (package netns), and says what to do where they cannot be made.
package netnstest

import (
	"os"
	"testing"

	"github.com/deskstorm/deskstorm/lab/netns"
)

// Require skips the test where network namespaces cannot be made: without root, or in a container that forbids it. In
// continuous integration (CI=true or DESKSTORM_REQUIRE_PROGRAMS=1 in the environment) it fails the test instead: nobody reads
// skips there.
func Require(t testing.TB) {
	t.Helper()
	n, err := netns.New("require")
	if err == nil {
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		return
	}
	if os.Getenv("CI") == "true" || os.Getenv("DESKSTORM_REQUIRE_PROGRAMS") == "1" {
		t.Fatalf("the test needs network namespaces; run it as root: %v", err)
	}
	t.Skipf("needs network namespaces; run it as root: %v", err)
}

// New makes a namespace that is closed when the test ends. It calls Require first.
func New(t testing.TB, label string) *netns.Namespace {
	t.Helper()
	Require(t)
	n, err := netns.New(label)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}
