package experiment

import (
	"errors"
	"maps"
	"net/url"
	"os/exec"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/runner/native"
)

func (x *reader) provider(n ast.Node, a *Activity, where place) {
	if _, ok := n.(*ast.MappingNode); !ok {
		x.Wrong(n, "expected a mapping, found %s", configfile.Found(n))
		return
	}
	kind := field(n, "type")
	if kind == nil {
		x.Wrong(n, "type is missing; expected http, process or deskstorm")
		return
	}
	known := configfile.Keys{"type": func(ast.Node) {}, "secrets": x.groupNames}
	switch word, _ := x.text(kind); word {
	case "http":
		x.http(n, known, a, where)
	case "process":
		x.process(n, known, a, where)
	case "deskstorm":
		x.native(n, known, a, where)
	case "python":
		x.Wrong(kind, "type python is not supported: deskstorm has no Python; call a program (type: process), a server (type: http), or "+
			"a native function (type: deskstorm)")
	default:
		x.Wrong(kind, "expected http, process or deskstorm, found %s", configfile.Found(kind))
	}
}

// groupNames are names of groups of secrets. They change nothing: all secrets are substituted everywhere, as in the toolkit.
func (x *reader) groupNames(n ast.Node) {
	x.Items(func(n ast.Node) {
		var group string
		x.Text(&group)(n)
		if group != "" && !x.groups[group] {
			x.Wrong(n, "there is no group of secrets %q", group)
		}
	})(n)
}

func (x *reader) http(n ast.Node, known configfile.Keys, a *Activity, where place) {
	h := &HTTP{Method: "GET", VerifyTLS: true}
	a.HTTP = h
	known["url"] = func(n ast.Node) {
		x.line(&h.URL)(n)
		if h.URL == "" || placeholder.MatchString(h.URL) {
			return
		}
		if !ValidURL(h.URL) {
			x.Wrong(n, "expected an address that begins with http:// or https://, found something else")
		}
	}
	known["method"] = func(n ast.Node) {
		x.Text(&h.Method)(n)
		h.Method = strings.ToUpper(h.Method)
		if strings.ContainsFunc(h.Method, func(r rune) bool { return r < 'A' || r > 'Z' }) {
			x.Wrong(n, "expected an HTTP method, such as GET, found %s", configfile.Found(n))
		}
	}
	known["headers"] = func(n ast.Node) {
		h.Headers = map[string]any{}
		x.Entries(n, func(_ ast.MapKeyNode, name string, value ast.Node) {
			switch v := x.Free(value).(type) {
			case nil, []any, map[string]any:
				x.Wrong(value, "expected text, found %s", configfile.Found(value))
			default:
				h.Headers[name] = v
			}
		})
		x.substitutions(n)
	}
	known["arguments"] = func(n ast.Node) {
		h.Arguments = x.Free(n)
		x.takesValue(n, where)
	}
	known["expected_status"] = x.Number(&h.ExpectedStatus, 100, 599)
	known["timeout"] = func(n ast.Node) { h.Timeout = x.timeout(n) }
	known["verify_tls"] = x.Boolean(&h.VerifyTLS)
	known["max_retries"] = x.Number(&h.MaxRetries, 0, 100)
	x.mapping(n, known, nil, "url")
}

// ValidURL says whether a text is an address that HTTP can speak to.
func ValidURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// timeout reads a number of seconds, [connect, read], or "${name}".
func (x *reader) timeout(n ast.Node) Timeout {
	if text, ok := x.wholePlaceholder(n); ok {
		return Timeout{Var: text}
	}
	if list, ok := n.(*ast.SequenceNode); ok {
		if len(list.Values) != 2 {
			x.Wrong(n, "expected two numbers of seconds: [to connect, to read]")
			return Timeout{}
		}
		return Timeout{Connect: x.seconds(list.Values[0]), Read: x.seconds(list.Values[1])}
	}
	both := x.seconds(n)
	return Timeout{Connect: both, Read: both}
}

func (x *reader) process(n ast.Node, known configfile.Keys, a *Activity, where place) {
	p := &Process{}
	a.Process = p
	known["path"] = func(n ast.Node) {
		x.Text(&p.Path)(n)
		if p.Path == "" {
			return
		}
		if _, err := exec.LookPath(p.Path); err != nil {
			x.Wrong(n, "there is no program %s that may be run on this machine", p.Path)
		}
	}
	known["arguments"] = func(n ast.Node) {
		x.takesValue(n, where)
		p.Arguments = x.Free(n)
		switch n := n.(type) {
		case *ast.StringNode, *ast.LiteralNode:
		case *ast.MappingNode:
			list := []any{}
			for _, v := range n.Values {
				list = append(list, v.Key.GetToken().Value, x.Free(v.Value))
			}
			p.Arguments = list
		case *ast.SequenceNode:
			for _, item := range n.Values {
				switch item.(type) {
				case *ast.SequenceNode, *ast.MappingNode:
					x.Wrong(item, "expected text, found %s", configfile.Found(item))
				}
			}
		default:
			x.Wrong(n, "expected a list, found %s", configfile.Found(n))
		}
	}
	known["timeout"] = func(n ast.Node) { p.Timeout = x.seconds(n) }
	x.mapping(n, known, nil, "path")
}

// takesValue reports arguments to which the value that a tolerance judges cannot be added.
func (x *reader) takesValue(n ast.Node, where place) {
	if _, ok := n.(*ast.MappingNode); !ok && where == inTolerance {
		x.Wrong(n, "expected a mapping, to which the value that is judged is added as value, found %s", configfile.Found(n))
	}
}

func (x *reader) native(n ast.Node, known configfile.Keys, a *Activity, where place) {
	f := &Native{Arguments: map[string]any{}}
	a.Native = f
	nodes := map[string]ast.Node{}
	known["func"] = x.Text(&f.Func)
	known["arguments"] = func(n ast.Node) {
		x.Entries(n, func(_ ast.MapKeyNode, name string, value ast.Node) {
			f.Arguments[name], nodes[name] = x.Free(value), value
		})
		x.substitutions(n)
	}
	x.mapping(n, known, nil, "func")
	if f.Func == "" || a.Kind == "" {
		return
	}
	function, err := native.Find(x.table, f.Func, a.Kind)
	if err != nil {
		x.Wrong(field(n, "func"), "%v", err)
		return
	}
	arguments := native.Arguments(maps.Clone(f.Arguments))
	if where == inTolerance {
		arguments["value"] = "${value}" // comes with the call
	}
	for _, wrong := range argumentErrors(function.Check(arguments)) {
		if node := nodes[wrong.Name]; node != nil {
			x.Wrong(node, "%s", wrong.Message)
		} else {
			x.Wrong(n, "argument %s: %s", wrong.Name, wrong.Message)
		}
	}
}

// argumentErrors takes apart what Check joined.
func argumentErrors(err error) []*native.ArgumentError {
	if err == nil {
		return nil
	}
	var all []*native.ArgumentError
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			all = append(all, argumentErrors(one)...)
		}
		return all
	}
	var one *native.ArgumentError
	if errors.As(err, &one) {
		return slices.Clip(append(all, one))
	}
	return all
}
