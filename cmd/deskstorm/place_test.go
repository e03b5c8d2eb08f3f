package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netns"

	"github.com/deskstorm/deskstorm/lab/control"
	namespaces "github.com/deskstorm/deskstorm/lab/netns"
	"github.com/deskstorm/deskstorm/lab/netns/netnstest"
	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/lab/up"
	"github.com/deskstorm/deskstorm/runner/record"
	"github.com/deskstorm/deskstorm/runner/undo"
)

// markVariable marks all processes of a place. The relay of a fault has no environment; it is in the place's network namespace.
const markVariable = "DESKSTORM_TEST_MARK"

// place is where a test runs experiments: a configuration with a state folder, a network and a lab to break.
type place struct {
	lab    *up.Cloud
	host   *namespaces.Namespace
	dir    string // all is in it
	config string
}

func newPlace(t *testing.T, lab *up.Cloud) *place {
	p := &place{lab: lab, host: netnstest.New(t, "whole"), dir: t.TempDir()}
	p.config = p.file(t, "deskstorm.yaml", fmt.Sprintf(`
state: %[1]s/state
targets:
  net: {local: {namespace: %[2]s, run_dir: %[1]s/started}, faults: [net.*]}
  lab: {http: {url: "%[3]s"}, faults: [api.error]}
cloud: {name: %[4]s, file: %[5]s/clouds.yaml, owner: whole}
desktops: {flavor: desktop.small, image: desktop, networks: [desktops]}
`, p.dir, p.host.Path(), lab.Control, sim.AdminCloud, lab.Dir))
	return p
}

// file writes a file of the place, and returns its path.
func (p *place) file(t *testing.T, name, text string) string {
	path := filepath.Join(p.dir, name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// deskstorm is a command whose processes are the place's.
func (p *place) deskstorm(t *testing.T, args ...string) *exec.Cmd {
	cmd := deskstorm(t, args...)
	cmd.Env = append(cmd.Env, markVariable+"="+p.dir)
	return cmd
}

// run is the run's id; empty: it was killed before it had one.
func (p *place) run(t *testing.T) string {
	runs, err := os.ReadDir(filepath.Join(p.dir, "state", "runs"))
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	require.NoError(t, err)
	require.LessOrEqual(t, len(runs), 1)
	for _, r := range runs {
		return r.Name()
	}
	return ""
}

func (p *place) faults(t *testing.T, run string) []record.Fault {
	if run == "" {
		return nil
	}
	records, err := undo.Records(filepath.Join(p.dir, "state", "runs"), run)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	require.NoError(t, err)
	return records
}

// injected is what the run's faults have left where they are.
func (p *place) injected(t *testing.T) (left []string) {
	handle, err := netns.GetFromPath(p.host.Path())
	require.NoError(t, err)
	defer handle.Close()
	firewall, err := nftables.New(nftables.WithNetNSFd(int(handle)))
	require.NoError(t, err)
	tables, err := firewall.ListTables()
	require.NoError(t, err)
	for _, table := range tables {
		left = append(left, "the table "+table.Name)
	}
	ids := map[string]bool{}
	for _, f := range p.faults(t, p.run(t)) {
		ids[f.ID] = true
	}
	for _, f := range labFaults(t, p.lab) {
		if ids[f.ID] && f.Ended == nil {
			left = append(left, "the lab's fault "+f.ID)
		}
	}
	for _, one := range p.processes(t) {
		if one.is("relay") {
			left = append(left, fmt.Sprint("the relay ", one.pid))
		}
	}
	return left
}

func labFaults(t *testing.T, lab *up.Cloud) []control.Fault {
	response, err := http.Get(lab.Control + "/v1/faults")
	require.NoError(t, err)
	defer response.Body.Close()
	var answer struct{ Faults []control.Fault }
	require.NoError(t, json.NewDecoder(response.Body).Decode(&answer))
	return answer.Faults
}

type process struct {
	pid  int
	argv []string
}

func (p process) is(command string) bool { return len(p.argv) > 1 && p.argv[1] == command }

// processes are all that live of the run.
func (p *place) processes(t *testing.T) (all []process) {
	folders, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(t, err)
	mark := []byte("\x00" + markVariable + "=" + p.dir + "\x00")
	for _, f := range folders {
		argv, err := os.ReadFile(filepath.Join(f, "cmdline"))
		if err != nil || len(argv) == 0 { // it has ended; one that nobody reaped has no arguments
			continue
		}
		environment, err := os.ReadFile(filepath.Join(f, "environ"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(f))
		require.NoError(t, err)
		if bytes.Contains(append([]byte{0}, environment...), mark) || p.inside(f) {
			all = append(all, process{pid, strings.Split(strings.TrimSuffix(string(argv), "\x00"), "\x00")})
		}
	}
	return all
}

// inside tells whether a process is in the run's network namespace.
func (p *place) inside(proc string) bool {
	own, err := os.Stat(p.host.Path())
	if err != nil {
		return false
	}
	there, err := os.Stat(filepath.Join(proc, "ns", "net"))
	return err == nil && os.SameFile(own, there)
}
