package load

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/deskstorm/deskstorm/internal/k6process"
	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/scenarios"
)

// inspectTimeout bounds k6's reading of the script, which may make a large array of people.
const inspectTimeout = time.Minute

// verify refuses what is wrong without k6 being asked.
func (l loader) verify(a native.Arguments) error {
	_, err := l.find(a.Text("script", ""))
	if err == nil {
		_, err = variables(a.Mapping("variables"))
	}
	if err == nil {
		_, err = options(a.Mapping("options"))
	}
	return err
}

// order reads the arguments, and refuses all that can be known to fail before anything is started.
func (l loader) order(ctx context.Context, a native.Arguments) (order, error) {
	name := a.Text("script", "")
	script, err := l.find(name)
	if err != nil {
		return order{}, err
	}
	o := order{name: name, script: script, limit: a.Duration("for", 0), thresholds: a.Boolean("thresholds", false)}
	variables, err := variables(a.Mapping("variables"))
	if err != nil {
		return order{}, err
	}
	shortcuts, err := shortcuts(a)
	if err != nil {
		return order{}, err
	}
	// OpenStack's variables are for scripts that go to the cloud; secrets are nowhere safer than in the environment.
	o.env = k6process.Environment(os.Environ(), true, slices.Concat(variables, shortcuts)...)
	if o.args, err = options(a.Mapping("options")); err != nil {
		return order{}, err
	}
	if !o.thresholds {
		o.args = append(o.args, "--no-thresholds")
	}
	inspecting, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	if o.needs, err = k6process.Inspect(inspecting, l.K6, o.script, o.env); err != nil {
		return order{}, fmt.Errorf("reading the script %s: %w", name, err)
	}
	if o.needs.VUs < 1 {
		return order{}, fmt.Errorf("the script %s has no virtual users: say vus and duration or iterations, or give it options", name)
	}
	if o.processes, err = l.split(o.needs.VUs, a.Integer("processes", 0)); err != nil {
		return order{}, err
	}
	return o, nil
}

// find finds a script: a shipped one by its bare name, else a file.
func (l loader) find(name string) (k6process.Script, error) {
	if !strings.ContainsAny(name, "/.") {
		source, err := fs.ReadFile(scenarios.Scripts, name+".js")
		if err != nil {
			return k6process.Script{}, fmt.Errorf("there is no shipped script %q; there are %s; a script of your own is named with its ending, "+
				"such as ./%s.js", name, strings.Join(shipped(), ", "), name)
		}
		return k6process.Script{Source: source, Dir: l.Dir}, nil
	}
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(l.Dir, path)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return k6process.Script{}, fmt.Errorf("finding the script %s: %w", name, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return k6process.Script{}, fmt.Errorf("reading the script %s: %w; its path begins at the experiment's folder; shipped ones are %s",
			name, err, strings.Join(shipped(), ", "))
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no file")
	}
	if err != nil {
		return k6process.Script{}, fmt.Errorf("reading the script %s: %w", name, err)
	}
	return k6process.Script{Path: path, Dir: l.Dir}, nil
}

// shipped are the names of the shipped scripts.
func shipped() []string {
	files, _ := fs.Glob(scenarios.Scripts, "*.js") // the pattern is right
	for i, f := range files {
		files[i] = strings.TrimSuffix(f, ".js")
	}
	return files
}

// variables are NAME=value for the script.
func variables(m map[string]any) (all []string, err error) {
	valid := regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if !valid.MatchString(name) {
			return nil, native.Wrong("variables", "%q is not the name of a variable", name)
		}
		if strings.HasPrefix(name, "K6_") {
			return nil, native.Wrong("variables", "%s would change k6's options: say vus, duration, iterations or options", name)
		}
		value, err := scalar(m[name])
		if err != nil {
			return nil, native.Wrong("variables", "%s %v", name, err)
		}
		all = append(all, name+"="+value)
	}
	return all, nil
}

// scalar is a value as text. Its errors do not show it: it may be a secret.
func scalar(v any) (string, error) {
	var text string
	switch v := v.(type) {
	case string:
		text = v
	case bool:
		text = strconv.FormatBool(v)
	case int:
		text = strconv.Itoa(v)
	case int64:
		text = strconv.FormatInt(v, 10)
	case uint64:
		text = strconv.FormatUint(v, 10)
	case float64:
		text = strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return "", errors.New("is not a text, a number, true or false")
	}
	if strings.ContainsRune(text, 0) {
		return "", errors.New("has a zero byte in it")
	}
	return text, nil
}

// shortcuts are k6's variables for what stands in place of a script's scenarios.
func shortcuts(a native.Arguments) ([]string, error) {
	var all []string
	for _, name := range []string{"vus", "iterations"} {
		if !a.Has(name) {
			continue
		}
		n := a.Integer(name, 0)
		if n < 1 {
			return nil, native.Wrong(name, "expected at least 1")
		}
		all = append(all, fmt.Sprintf("K6_%s=%d", strings.ToUpper(name), n))
	}
	if a.Has("duration") {
		d := a.Duration("duration", 0)
		if d <= 0 {
			return nil, native.Wrong("duration", "expected more than 0")
		}
		all = append(all, "K6_DURATION="+d.String())
	}
	if len(all) == 1 && a.Has("vus") {
		return nil, native.Wrong("vus", "goes with duration or iterations: k6 overlooks it where a script has scenarios")
	}
	return all, nil
}

// known are the options of `k6 run` that an experiment may give. The others deskstorm gives itself, or they are for people at a
// terminal.
func known() []string {
	return []string{"batch", "batch-per-host", "blacklist-ip", "block-hostnames", "compatibility-mode", "discard-response-bodies", "dns",
		"insecure-skip-tls-verify", "local-ips", "max-redirects", "min-iteration-duration", "no-connection-reuse", "no-setup", "no-teardown",
		"no-vu-connection-reuse", "rps", "stage", "tag", "throw", "user-agent"}
}

// options are arguments of k6 run.
func options(m map[string]any) (args []string, err error) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if !slices.Contains(known(), name) {
			return nil, native.Wrong("options", "unknown option %q; expected %s", name, strings.Join(known(), ", "))
		}
		values, isList := m[name].([]any)
		if !isList {
			values = []any{m[name]}
		}
		for _, v := range values {
			text, err := scalar(v)
			if err != nil {
				return nil, native.Wrong("options", "%s %v", name, err)
			}
			args = append(args, "--"+name+"="+text)
		}
	}
	return args, nil
}
