// Package ovstest gives tests an Open vSwitch of their own (package ovs), and says what to do where there is none.
package ovstest

import (
	"context"
	"testing"
	"time"

	"github.com/deskstorm/deskstorm/lab/ovs"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
)

// startTimeout bounds a start: some 0.3 s.
const startTimeout = 30 * time.Second

// Require skips the test where no switch can be started, as qemutest.RequireProgram does for a program.
func Require(t testing.TB) {
	t.Helper()
	for _, program := range []string{ovs.Database, ovs.Daemon, ovs.Tool} {
		qemutest.RequireProgram(t, program, "openvswitch-switch")
	}
	qemutest.RequireProgram(t, "nsenter", "util-linux")
}

// StartT starts a switch that is closed when the test ends. It calls Require.
func StartT(t testing.TB, config ovs.Config) *ovs.Switch {
	t.Helper()
	Require(t)
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	s, err := ovs.Start(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
