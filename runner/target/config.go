package target

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/deskstorm/deskstorm/internal/access"
	"github.com/deskstorm/deskstorm/internal/configfile"
)

// Config is the section `targets` of the configuration: what may be touched at all, by name.
type Config map[string]Target

// Target is a place where faults are injected. Exactly one of its kinds is set.
type Target struct {
	// Faults are patterns of the faults that are allowed here, such as "net.*"; none: none is.
	Faults []string

	Local *Local
	SSH   *SSH
	HTTP  *Web
	Cloud *access.Cloud

	// Services are how services of a Local's or SSH's machine are stopped and started, for those that systemctl does not know.
	Services map[string]Service
}

// Local is the machine that this program runs on.
type Local struct {
	Machine
}

// SSH is another machine.
type SSH struct {
	Machine
	Address    string            // host:port
	User       string            // default: "root"
	Identity   string            // the private key's file
	Passphrase configfile.Secret // of the key; default: it has none
	KnownHosts string            // the file of host keys, as ssh has it; the machine's must be in it
	Sudo       bool              // steps are done by `sudo -n`
	Timeout    time.Duration     // for the login; default: 10 s
}

// Machine is what a Local and an SSH have in common.
type Machine struct {
	Namespace string        // the file of a network namespace that commands run in; default: empty, the machine's own
	RunDir    string        // where files of what was started are; default: /run/deskstorm
	Step      time.Duration // one step may take so long; default: 1 minute
}

// Web is a server with an API: a lab's switches, a broker's.
type Web struct {
	URL     string            // its base
	Token   configfile.Secret // sent as a bearer's; default: none
	CA      string            // the file of the authorities of https, in PEM form; default: empty, the system's
	Timeout time.Duration     // for an answer; default: 1 minute
}

// Service is how a service is stopped and started, as argument vectors.
type Service struct{ Stop, Start []string }

// Defaults.
const (
	defaultRunDir  = "/run/deskstorm"
	defaultStep    = time.Minute
	defaultAnswer  = time.Minute // a lab waits 30 s for desktops to boot before it says that they have not
	defaultLogin   = 10 * time.Second
	longestTimeout = 30 * time.Minute
)

// Read reads the section `targets`.
func Read(r *configfile.Reader, n ast.Node) Config {
	c := Config{}
	name := regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$`)
	r.Entries(n, func(key ast.MapKeyNode, called string, value ast.Node) {
		if !name.MatchString(called) {
			r.Wrong(key, "expected a name of at most 40 letters, digits, '.', '_' and '-' that begins with a letter or a digit")
		}
		c[called] = readTarget(r, value)
	})
	return c
}

func readTarget(r *configfile.Reader, n ast.Node) (t Target) {
	kinds := 0
	r.Mapping(n, configfile.Keys{
		"faults": r.List(func(n ast.Node) {
			var pattern string
			r.Text(&pattern)(n)
			if _, err := path.Match(pattern, ""); err != nil {
				r.Wrong(n, `expected a fault's name or a pattern such as "net.*", found %s`, configfile.Found(n))
			}
			t.Faults = append(t.Faults, pattern)
		}),
		"local": func(n ast.Node) {
			kinds++
			t.Local = &Local{Machine: machine()}
			r.Mapping(n, machineKeys(r, &t.Local.Machine, configfile.Keys{}))
		},
		"ssh": func(n ast.Node) {
			kinds++
			t.SSH = readSSH(r, n)
		},
		"http": func(n ast.Node) {
			kinds++
			t.HTTP = readWeb(r, n)
		},
		"cloud": func(n ast.Node) {
			kinds++
			t.Cloud = new(access.ReadCloud(r, n))
		},
		"services": func(n ast.Node) {
			t.Services = map[string]Service{}
			r.Entries(n, func(_ ast.MapKeyNode, name string, value ast.Node) {
				var s Service
				r.Mapping(value, configfile.Keys{"stop": r.Texts(&s.Stop), "start": r.Texts(&s.Start)}, "stop", "start")
				t.Services[name] = s
			})
		},
	})
	if _, ok := n.(*ast.MappingNode); ok && kinds != 1 {
		r.Wrong(n, "expected exactly one of local, ssh, http and cloud, found %d", kinds)
	}
	if len(t.Services) > 0 && t.Local == nil && t.SSH == nil {
		r.Wrong(n, "services are of a machine: expected local or ssh beside them")
	}
	return t
}

func machine() Machine { return Machine{RunDir: defaultRunDir, Step: defaultStep} }

func machineKeys(r *configfile.Reader, m *Machine, more configfile.Keys) configfile.Keys {
	absolute := func(to *string) func(ast.Node) { // on the target's machine, which may be another
		return r.Checked(to, "an absolute path", func(s string) bool { return path.IsAbs(s) && path.Clean(s) == s && s != "/" })
	}
	keys := configfile.Keys{
		"namespace": absolute(&m.Namespace), "run_dir": absolute(&m.RunDir), "step_timeout": r.Duration(&m.Step, time.Second, longestTimeout),
	}
	maps.Copy(keys, more)
	return keys
}

func readSSH(r *configfile.Reader, n ast.Node) *SSH {
	s := &SSH{Machine: machine(), User: "root", Timeout: defaultLogin}
	r.Mapping(n, machineKeys(r, &s.Machine, configfile.Keys{
		"address": r.Checked(&s.Address, "host or host:port, without a user", func(text string) bool {
			return !strings.ContainsAny(text, "@/ ") && hostPort(text) != ""
		}),
		"user": r.Text(&s.User), "identity": r.Path(&s.Identity), "passphrase": r.Secret(&s.Passphrase),
		"known_hosts": r.Path(&s.KnownHosts), "sudo": r.Boolean(&s.Sudo), "timeout": r.Duration(&s.Timeout, time.Second, longestTimeout),
	}), "address", "identity", "known_hosts")
	s.Address = hostPort(s.Address)
	return s
}

// hostPort adds SSH's own port if there is none.
func hostPort(text string) string {
	if host, port, err := net.SplitHostPort(text); err == nil {
		if host == "" || port == "" {
			return ""
		}
		return text
	}
	host := strings.Trim(text, "[]")
	if host == "" {
		return ""
	}
	return net.JoinHostPort(host, "22")
}

func readWeb(r *configfile.Reader, n ast.Node) *Web {
	w := &Web{Timeout: defaultAnswer}
	r.Mapping(n, configfile.Keys{
		"url": r.Checked(&w.URL, "an address such as http://lab:9000, without user, password and query", func(s string) bool {
			u, err := url.Parse(s)
			return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
		}),
		"token": r.Secret(&w.Token), "ca_file": r.Path(&w.CA), "timeout": r.Duration(&w.Timeout, time.Second, longestTimeout),
	}, "url")
	return w
}

// Names are the targets' names, sorted.
func (c Config) Names() []string { return slices.Sorted(maps.Keys(c)) }

// Allows says why a fault may not be injected at a target; nil: it may.
func (c Config) Allows(target, fault string) error {
	t, ok := c[target]
	if !ok {
		return c.unknown(target)
	}
	for _, pattern := range t.Faults {
		if ok, err := path.Match(pattern, fault); err == nil && ok {
			return nil
		}
	}
	if len(t.Faults) == 0 {
		return fmt.Errorf("the configuration allows no fault at the target %s; name %s in its faults to allow it", target, fault)
	}
	return fmt.Errorf("the configuration does not allow %s at the target %s, only %s", fault, target, strings.Join(t.Faults, ", "))
}

func (c Config) unknown(target string) error {
	if len(c) == 0 {
		return fmt.Errorf("there is no target %q: the configuration has none", target)
	}
	return fmt.Errorf("there is no target %q in the configuration; there are %s", target, strings.Join(c.Names(), ", "))
}

// Machine is what a Local or an SSH has; false: the target is neither.
func (t Target) Machine() (Machine, bool) {
	switch {
	case t.Local != nil:
		return t.Local.Machine, true
	case t.SSH != nil:
		return t.SSH.Machine, true
	}
	return Machine{}, false
}
