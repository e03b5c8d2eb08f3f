package experiment

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/runner/native"
)

// Extension reads one of the file's extensions. Its mistakes are told with those of the file.
type Extension struct {
	Name string // "deskstorm"
	Read func(r *configfile.Reader, n ast.Node)
}

// Load reads an experiment's file. The table has the native functions that it may name; they need no Run. All mistakes are told
// at once, a *configfile.Error each, in the file's order.
func Load(path string, table []native.Function, extensions ...Extension) (*Experiment, error) {
	r, root, err := configfile.Load(path, what)
	if err != nil {
		return nil, err
	}
	return read(r, root, path, table, extensions)
}

// Parse is Load of bytes. The name is the file's path.
func Parse(data []byte, name string, table []native.Function, extensions ...Extension) (*Experiment, error) {
	r, root := configfile.Parse(data, name, what)
	return read(r, root, name, table, extensions)
}

const what = "an experiment"

// reader reads one file.
type reader struct {
	*configfile.Reader
	table      []native.Function
	extensions []Extension
	to         *Experiment

	names  map[string]bool // of configuration and secrets
	groups map[string]bool // of secrets
	refs   int             // references to activities so far
	later  []func()        // looks them up when all has been read
}

func read(r *configfile.Reader, root ast.Node, path string, table []native.Function, extensions []Extension) (*Experiment, error) {
	if root == nil {
		return nil, r.Err()
	}
	x := &reader{
		Reader: r, table: table, extensions: extensions, names: map[string]bool{}, groups: map[string]bool{},
		to: &Experiment{
			File:          path,
			Configuration: map[string]Value{},
			Runtime:       Runtime{Hypothesis: HypothesisDefault, Rollbacks: RollbackDefault},
		},
	}
	x.experiment(root)
	for _, check := range x.later {
		check()
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	if err := x.keepSource(root); err != nil {
		return nil, err
	}
	return x.to, nil
}

func (x *reader) experiment(n ast.Node) {
	e := x.to
	// Names come first: what is read after them may use them.
	if m, ok := n.(*ast.MappingNode); ok {
		for _, v := range m.Values {
			switch v.Key.GetToken().Value {
			case "configuration":
				x.configuration(v.Value)
			case "secrets":
				x.secrets(v.Value)
			}
		}
	}
	done := func(ast.Node) {}
	x.mapping(n, configfile.Keys{
		"version":       x.Text(new(string)),
		"title":         x.line(&e.Title),
		"description":   x.paragraph(&e.Description),
		"tags":          x.tags,
		"contributions": x.contributions,
		"configuration": done,
		"secrets":       done,
		"runtime":       x.runtime,
		"steady-state-hypothesis": func(n ast.Node) {
			if _, ok := n.(*ast.NullNode); !ok {
				x.hypothesis(n)
			}
		},
		"method":     x.Items(func(n ast.Node) { e.Method = append(e.Method, x.activity(n, inMethod)) }),
		"rollbacks":  x.Items(func(n ast.Node) { e.Rollbacks = append(e.Rollbacks, x.activity(n, inRollbacks)) }),
		"extensions": x.readExtensions,
	}, refusals{
		"controls": "is not supported: a control is Python that runs around activities; use a probe or an action instead",
		"dry":      "is not read from the file; use --dry-run",
	}, "title", "description", "method")
}

// refusals are keys that belong to the format and are not supported, with what to do instead.
type refusals map[string]string

// mapping is Reader.Mapping with refusals. A key that is not known at all is told with those that are.
func (x *reader) mapping(n ast.Node, known configfile.Keys, refused refusals, required ...string) {
	found := map[string]bool{}
	x.Entries(n, func(key ast.MapKeyNode, name string, value ast.Node) {
		found[name] = true
		if read, ok := known[name]; ok {
			read(value)
			return
		}
		if why, ok := refused[name]; ok {
			x.Wrong(key, "%s", why)
			return
		}
		x.Wrong(key, "unknown key; expected %s", strings.Join(slices.Sorted(maps.Keys(known)), ", "))
	})
	if _, ok := n.(*ast.MappingNode); !ok {
		return
	}
	for _, name := range required {
		if !found[name] {
			x.Wrong(n, "%s is missing", name)
		}
	}
}

// line reads a text of one line, in which names may stand.
func (x *reader) line(to *string) func(ast.Node) {
	return func(n ast.Node) {
		x.Text(to)(n)
		x.substitutions(n)
	}
}

// paragraph reads a text of one or more lines.
func (x *reader) paragraph(to *string) func(ast.Node) {
	return func(n ast.Node) {
		text, ok := x.text(n)
		if !ok || strings.TrimSpace(text) == "" {
			x.Wrong(n, "expected text, found %s", configfile.Found(n))
			return
		}
		*to = text
	}
}

// text returns the text that a node is, on however many lines.
func (x *reader) text(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	}
	return "", false
}

func (x *reader) tags(n ast.Node) {
	x.Items(func(n ast.Node) {
		var tag string
		x.Text(&tag)(n)
		x.to.Tags = append(x.to.Tags, tag)
	})(n)
}

// contributions says how much an experiment contributes to qualities of the system. The format has four words for it.
func (x *reader) contributions(n ast.Node) {
	x.Entries(n, func(_ ast.MapKeyNode, _ string, value ast.Node) {
		configfile.OneOf(x.Reader, new(string), "high", "medium", "low", "none")(value)
	})
}

func (x *reader) runtime(n ast.Node) {
	to := &x.to.Runtime
	x.mapping(n, configfile.Keys{
		"hypothesis": func(n ast.Node) {
			x.mapping(n, configfile.Keys{
				"strategy": configfile.OneOf(x.Reader, &to.Hypothesis, HypothesisDefault, HypothesisBefore, HypothesisAfter,
					HypothesisDuring, HypothesisContinuously, HypothesisSkip),
				"frequency": func(n ast.Node) { to.Frequency = x.seconds(n) },
				"fail_fast": x.Boolean(&to.FailFast),
				"fail_fast_ratio": func(n ast.Node) {
					ratio, ok := x.number(n)
					if !ok || ratio < 0 || ratio > 100 {
						x.Wrong(n, "expected a percentage from 0 to 100, found %s", configfile.Found(n))
						return
					}
					to.FailFastRatio = ratio
				},
			}, nil)
		},
		"rollbacks": func(n ast.Node) {
			x.mapping(n, configfile.Keys{
				"strategy": configfile.OneOf(x.Reader, &to.Rollbacks, RollbackDefault, RollbackAlways, RollbackNever,
					RollbackDeviated),
			}, nil)
		},
	}, nil)
}

func (x *reader) hypothesis(n ast.Node) {
	h := &Hypothesis{}
	x.to.Hypothesis = h
	x.mapping(n, configfile.Keys{
		"title":  x.Text(&h.Title),
		"probes": x.Items(func(n ast.Node) { h.Probes = append(h.Probes, x.activity(n, inHypothesis)) }),
	}, refusals{
		"controls": "is not supported: a control is Python that runs around activities; use a probe instead",
	}, "title")
}

func (x *reader) readExtensions(n ast.Node) {
	x.to.Extensions = map[string]json.RawMessage{}
	x.Items(func(n ast.Node) {
		var name string
		x.Entries(n, func(_ ast.MapKeyNode, key string, value ast.Node) {
			if key == "name" {
				x.Text(&name)(value)
			}
		})
		if _, ok := n.(*ast.MappingNode); !ok {
			return
		}
		if name == "" {
			x.Wrong(n, "name is missing")
			return
		}
		if _, ok := x.to.Extensions[name]; ok {
			x.Wrong(n, "there is another extension of the name %s", name)
			return
		}
		x.to.Extensions[name], _ = json.Marshal(x.Free(n)) // it holds nothing that JSON has no form for
		for _, extension := range x.extensions {
			if extension.Name == name {
				extension.Read(x.Reader, n)
			}
		}
	})(n)
}

// keepSource keeps the file as JSON, and each activity with its own part, for the journal.
func (x *reader) keepSource(root ast.Node) error {
	e := x.to
	tree := x.Free(root).(map[string]any)
	if err := x.Err(); err != nil {
		return err
	}
	hideStatic(tree["secrets"])
	var err error
	if e.Source, err = json.Marshal(tree); err != nil {
		return err
	}
	byName := map[string]any{}
	keep := func(activities []Activity, list any) {
		sources, _ := list.([]any)
		for i := range activities {
			if activities[i].ref == 0 {
				activities[i].Source, byName[activities[i].Name] = sources[i], sources[i]
			}
		}
	}
	if h, ok := tree["steady-state-hypothesis"].(map[string]any); ok {
		keep(e.Hypothesis.Probes, h["probes"])
	}
	keep(e.Method, tree["method"])
	keep(e.Rollbacks, tree["rollbacks"])
	for _, activities := range [][]Activity{e.probes(), e.Method, e.Rollbacks} {
		for i := range activities {
			if activities[i].Source == nil {
				activities[i].Source = byName[activities[i].Name]
			}
		}
	}
	return nil
}

// hideStatic hides the secrets that a file spells out.
func hideStatic(secrets any) {
	groups, _ := secrets.(map[string]any)
	for _, group := range groups {
		values, _ := group.(map[string]any)
		for name, value := range values {
			if source, ok := value.(map[string]any); !ok || source["type"] == nil {
				values[name] = Hidden
			}
		}
	}
}

func (e *Experiment) probes() []Activity {
	if e.Hypothesis == nil {
		return nil
	}
	return e.Hypothesis.Probes
}
