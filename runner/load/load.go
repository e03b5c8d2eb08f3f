// Package load makes load: the native action load.k6 runs k6 with thin clients, in as many processes as it takes, and gathers their
// results as aggregates in the run's record.
package load

import (
	"context"
	"io/fs"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/deskstorm/deskstorm/internal/k6process"
	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/runner/record"
)

// Env is what load.k6 works with. The zero Env is for a table that only describes.
type Env struct {
	K6       []string // the command that runs k6, with k6/x/vdi and the output vdi: this program and "k6"
	Dir      string   // where relative paths of scripts begin: the experiment's folder
	Recorder *record.Recorder
}

// Name is what the action is called.
const Name = "load.k6"

// Table is the native activities of this package.
func Table(env Env) []native.Function {
	f := native.Function{
		Name: Name, Kind: native.Action,
		Doc: "Runs k6 with thin clients, in as many processes as descriptors and cores ask for, and gathers what they measured.",
		Parameters: []native.Parameter{
			{Name: "script", Type: native.Text, Required: true, Doc: "a script's path, relative to the experiment's file, or the name of a " +
				"shipped one, such as login-storm"},
			{Name: "variables", Type: native.Mapping, Doc: "of the script's environment (__ENV): texts, numbers, true or false"},
			{Name: "vus", Type: native.Integer, Doc: "virtual users, in place of what the script says"},
			{Name: "duration", Type: native.Duration, Doc: "how long they iterate, in place of what the script says"},
			{Name: "iterations", Type: native.Integer, Doc: "iterations of all of them together, in place of what the script says"},
			{Name: "options", Type: native.Mapping, Doc: "more of k6 run's options by name, such as local-ips; a list is given several times"},
			{Name: "processes", Type: native.Integer, Doc: "how many k6 processes; absent or 0: as many as descriptors and cores ask for"},
			{Name: "for", Type: native.Duration, Doc: "the load is stopped after this time; absent: the script ends it"},
			{Name: "thresholds", Type: native.Boolean, Doc: "whether each process heeds the script's thresholds; absent: no, objectives judge"},
		},
	}
	if env.Recorder != nil {
		l := newLoader(env)
		f.Run, f.Plan, f.Verify = l.run, l.plan, l.verify
	}
	return []native.Function{f}
}

// loader is an Env, and what tests have otherwise.
type loader struct {
	Env
	proc        fs.FS                       // /proc
	descriptors func() (unix.Rlimit, error) // of the processes to be
	cores       int
	grace       time.Duration // of a k6, between SIGINT and SIGKILL
	overtime    time.Duration // that a k6 may take beyond what its scenarios need
	sampleEvery time.Duration // of the machine's CPU
}

const (
	// stopGrace is for iterations to log out, which k6/x/vdi bounds to 15 s, and for the script's teardown.
	stopGrace = 30 * time.Second
	// overtime is setup's and teardown's time-outs, a minute each, and k6's own start and end.
	overtime    = 150 * time.Second
	sampleEvery = 10 * time.Second
)

func newLoader(env Env) loader {
	return loader{
		Env: env, proc: os.DirFS("/proc"), cores: runtime.NumCPU(), grace: stopGrace, overtime: overtime, sampleEvery: sampleEvery,
		descriptors: func() (limit unix.Rlimit, err error) {
			err = unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
			return limit, err
		},
	}
}

// plan is --dry-run's: it has k6 read the script, which starts no load.
func (l loader) plan(ctx context.Context, a native.Arguments) (any, error) {
	o, err := l.order(ctx, a)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"script": o.name, "virtual_users": o.needs.VUs, "processes": o.processes, "longest_seconds": o.longest().Seconds(),
	}, nil
}

// order is one load.k6, ready to be run.
type order struct {
	name       string // of the script, for people
	script     k6process.Script
	env        []string
	args       []string // of k6 run
	needs      k6process.Needs
	processes  int
	limit      time.Duration // 0: none
	thresholds bool
}

// longest is how long its scenarios can take.
func (o order) longest() time.Duration {
	if o.limit > 0 {
		return min(o.limit, o.needs.Duration)
	}
	return o.needs.Duration
}
