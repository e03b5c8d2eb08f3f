// Package slapdtest gives tests an LDAP directory under OpenLDAP (package slapd).
package slapdtest

import (
	"context"
	"testing"
	"time"

	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/lab/slapd"
)

// startTimeout bounds the start of one directory: it takes some 100 ms, and 10,000 entries a few seconds.
const startTimeout = time.Minute

// StartT starts a directory that is closed when the test ends. Without slapd it skips the test, as
// qemutest.RequireProgram does.
func StartT(t testing.TB, config slapd.Config) *slapd.Server {
	t.Helper()
	qemutest.RequireProgram(t, slapd.Program, "slapd")
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	server, err := slapd.Start(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}
