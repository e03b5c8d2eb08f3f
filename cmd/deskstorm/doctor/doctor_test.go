package doctor

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/deskstorm/deskstorm/spice"
	"github.com/deskstorm/deskstorm/spice/wire"
)

// files makes a /proc or /sys of names and texts.
func files(pairs ...string) fstest.MapFS {
	fs := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		fs[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return fs
}

func limits(soft, hard uint64) func() (unix.Rlimit, error) {
	return func() (unix.Rlimit, error) { return unix.Rlimit{Cur: soft, Max: hard}, nil }
}

func TestChecks(t *testing.T) {
	const (
		portRange = "sys/net/ipv4/ip_local_port_range"
		tracked   = "sys/net/netfilter/nf_conntrack_count"
		trackable = "sys/net/netfilter/nf_conntrack_max"
		groupMax  = "fs/cgroup/memory.max"
		groupUse  = "fs/cgroup/memory.current"
		roomy     = "MemTotal:       16000000 kB\nMemAvailable:    8000000 kB\n"
	)
	failing := func() (unix.Rlimit, error) { return unix.Rlimit{}, errors.New("no limits here") }
	tests := []struct {
		name          string
		check         Check
		level         Level
		found, advice string
	}{
		{"descriptors suffice", Descriptors(limits(20000, 20000), 4975), OK, "need 20000", ""},
		{"descriptors fall short", Descriptors(limits(20000, 20000), 4976), Fail, "need 20004", "allows 4975 clients"},
		{"descriptors by far", Descriptors(limits(64, 64), 10), Fail, "need 140", "allows 0 clients"},
		{"soft limit", Descriptors(limits(1024, 20000), 1000), Fail, "1024 may", "ulimit -Sn 4100"},
		{"no limit", Descriptors(limits(unix.RLIM_INFINITY, unix.RLIM_INFINITY), 1000), OK, "any number", ""},
		{"limit unknown", Descriptors(failing, 1), Warn, "no limits here", ""},

		{"ports suffice", Ports(files(portRange, "32768\t60999\n"), 7058), OK, "28232", ""},
		{"ports fall short", Ports(files(portRange, "32768\t60999\n"), 7059), Warn, "28236 connections", "only 7058 clients"},
		{"ports unknown", Ports(files(), 1), Warn, "cannot tell", ""},
		{"ports unreadable", Ports(files(portRange, "many"), 1), Warn, "cannot tell", ""},

		{"memory suffices", Memory(files("meminfo", roomy), files(), 10000), OK, "8192 MB", ""},
		{"memory is tight", Memory(files("meminfo", roomy), files(), 35000), Warn, "7150 MB", "32018 clients fit"},
		{"memory falls short", Memory(files("meminfo", roomy), files(), 50000), Fail, "10150 MB", "32018 clients fit"},
		{"memory of the group", Memory(files("meminfo", roomy), files(groupMax, "500000000\n", groupUse, "100000000\n"), 2000),
			Fail, "400 MB available", "850 clients fit"},
		{"group without limit", Memory(files("meminfo", roomy), files(groupMax, "max\n", groupUse, "1\n"), 1), OK, "8192 MB", ""},
		{"group of version 1", Memory(files("meminfo", roomy),
			files("fs/cgroup/memory/memory.limit_in_bytes", "300000000", "fs/cgroup/memory/memory.usage_in_bytes", "0"), 1),
			OK, "300 MB", ""},
		{"group over its limit", Memory(files("meminfo", roomy), files(groupMax, "100", groupUse, "200"), 1), Fail, "0 MB", "0 clients"},
		{"memory unknown", Memory(files("meminfo", "MemTotal: 1 kB\n"), files(), 1), Warn, "MemAvailable", ""},

		{"no conntrack", Conntrack(files(), 1), OK, "not in use", ""},
		{"conntrack suffices", Conntrack(files(tracked, "100\n", trackable, "65536\n"), 1000), OK, "4100 with", ""},
		{"conntrack is tight", Conntrack(files(tracked, "50000", trackable, "65536"), 1000), Warn, "54000", "=108000"},
		{"conntrack falls short", Conntrack(files(tracked, "64000", trackable, "65536"), 1000), Fail, "68000", "=136000"},
		{"conntrack unreadable", Conntrack(files(tracked, "x", trackable, "1"), 1), Warn, "cannot tell", ""},
		{"conntrack without size", Conntrack(files(tracked, "1"), 1), Warn, "cannot tell", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := test.check(t.Context())
			require.Equal(t, test.level, r.Level, "%+v", r)
			require.Contains(t, r.Found, test.found)
			require.Contains(t, r.Advice, test.advice)
			if r.Level == OK {
				require.Empty(t, r.Advice)
			}
		})
	}
}

func TestReach(t *testing.T) {
	answering := func(err error) func(context.Context) error {
		return func(context.Context) error { return err }
	}
	waiting := func(ctx context.Context) error {
		<-ctx.Done()
		return fmt.Errorf("waiting for the link reply: %w", ctx.Err())
	}
	tests := []struct {
		name   string
		reach  func(context.Context) error
		level  Level
		advice string
	}{
		{"answers", answering(nil), OK, ""},
		{"unknown name", answering(&net.DNSError{Err: "no such host", Name: "x"}), Fail, "resolv.conf"},
		{"refused", answering(&net.OpError{Err: syscall.ECONNREFUSED}), Fail, "Nothing listens"},
		{"no route", answering(&net.OpError{Err: syscall.EHOSTUNREACH}), Fail, "no route"},
		{"silent", waiting, Fail, "firewall"},
		{"ticket", answering(spice.ErrPermissionDenied), Fail, "Tickets expire"},
		{"authority", answering(fmt.Errorf("TLS: %w", x509.UnknownAuthorityError{})), Fail, "--ca"},
		{"needs TLS", answering(wire.LinkNeedSecured), Fail, "--tls-port"},
		{"otherwise", answering(errors.New("not SPICE")), Fail, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if test.name == "silent" {
				ctx, cancel = context.WithTimeout(t.Context(), 0)
				defer cancel()
			}
			r := Reach("desk-1", test.reach)(ctx)
			require.Equal(t, test.level, r.Level)
			require.Equal(t, "desk-1", r.Check)
			require.Contains(t, r.Advice, test.advice)
		})
	}
}

func TestLimitOfThisProcess(t *testing.T) {
	limit, err := Limit()
	require.NoError(t, err)
	require.NotZero(t, limit.Max)
}

func TestPrint(t *testing.T) {
	found := Run(t.Context(), []Check{
		Conntrack(files(), 1),
		func(context.Context) Result {
			return Result{Check: "x", Level: Fail, Found: "bad", Advice: "do a\ndo b"}
		},
	})
	require.Equal(t, Fail, Worst(found))
	require.Equal(t, OK, Worst(nil))

	var plain, coloured, asJSON bytes.Buffer
	require.NoError(t, Print(&plain, found, false))
	require.Equal(t, ""+
		"ok    conntrack  not in use here\n"+
		"fail  x          bad\n"+
		"                 do a\n"+
		"                 do b\n", plain.String())

	require.NoError(t, Print(&coloured, found, true))
	require.Contains(t, coloured.String(), "\x1b[31mfail\x1b[0m")

	require.NoError(t, PrintJSON(&asJSON, found))
	var back struct {
		Level  string
		Checks []struct{ Check, Level, Found, Advice string }
	}
	decoder := json.NewDecoder(strings.NewReader(asJSON.String()))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&back))
	require.Equal(t, "fail", back.Level)
	require.Equal(t, "ok", back.Checks[0].Level)
	require.Equal(t, "do a\ndo b", back.Checks[1].Advice)
}
