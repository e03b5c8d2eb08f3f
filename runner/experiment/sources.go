package experiment

import (
	"regexp"

	"github.com/goccy/go-yaml/ast"

	"github.com/deskstorm/deskstorm/internal/configfile"
)

// name is what can stand in ${}.
var name = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (x *reader) configuration(n ast.Node) {
	x.Entries(n, func(key ast.MapKeyNode, name string, value ast.Node) {
		x.named(key, name)
		x.to.Configuration[name] = x.source(value, false)
	})
}

func (x *reader) secrets(n ast.Node) {
	x.Entries(n, func(_ ast.MapKeyNode, group string, value ast.Node) {
		x.groups[group] = true
		if _, ok := value.(*ast.MappingNode); !ok {
			x.Wrong(value, "expected a group of secrets, by name, found a value; put it into a group")
			return
		}
		values := map[string]Value{}
		x.Entries(value, func(key ast.MapKeyNode, name string, value ast.Node) {
			x.named(key, name)
			values[name] = x.source(value, true)
		})
		x.to.Secrets = append(x.to.Secrets, SecretGroup{Name: group, Values: values})
	})
}

func (x *reader) named(key ast.MapKeyNode, text string) {
	x.names[text] = true
	x.Ambiguous(key)
	if !name.MatchString(text) {
		x.Wrong(key, "expected a name of letters, digits and '_' that does not begin with a digit, so that it can stand in ${}")
	}
}

// source reads a value or where it comes from. Nothing that is found is shown: it may be a secret.
func (x *reader) source(n ast.Node, secret bool) Value {
	v := Value{Line: configfile.Line(n)}
	kind := field(n, "type")
	if kind == nil {
		v.Static = x.Free(n)
		return v
	}
	word, _ := x.text(kind)
	known := configfile.Keys{"type": func(ast.Node) {}}
	switch {
	case word == "env":
		known["key"] = x.Checked(&v.Env, "the name of an environment variable", name.MatchString)
		if secret {
			x.mapping(n, known, refusals{
				"default":      "a secret has no default: the file would have it; set the variable",
				"env_var_type": "a secret from the environment is a text, so it has no env_var_type",
			}, "key")
			break
		}
		known["default"] = func(n ast.Node) { v.Default, v.Optional = x.Free(n), true }
		known["env_var_type"] = configfile.OneOf(x.Reader, &v.Type, "str", "string", "int", "integer", "float", "number", "bool", "json")
		x.mapping(n, known, nil, "key")
	case word == "file":
		known["path"] = x.Path(&v.Path)
		x.mapping(n, known, nil, "path")
	case word == "vault":
		x.Wrong(n, "type vault is not supported; let Vault's agent write the secret to a file, and use {type: file, path: PATH}, or an "+
			"environment variable, and {type: env, key: NAME}")
	case word == "probe":
		x.Wrong(n, "a value that a probe finds is not supported; find it before the run, and use {type: env, key: NAME} or "+
			"{type: file, path: PATH}")
	default:
		x.Wrong(kind, "expected env or file, found something else; a mapping with a key called type says where its value is")
	}
	return v
}

// field returns a mapping's value by its key; nil if there is none.
func field(n ast.Node, name string) ast.Node {
	if m, ok := n.(*ast.MappingNode); ok {
		for _, v := range m.Values {
			if key, ok := v.Key.(*ast.StringNode); ok && key.Value == name {
				return v.Value
			}
		}
	}
	return nil
}

// substitutions reports names that there are none of. Where a shell or a server may mean its own by ${}, they are left alone.
func (x *reader) substitutions(n ast.Node) {
	switch n := n.(type) {
	case *ast.MappingNode:
		for _, v := range n.Values {
			x.substitutions(v.Value)
		}
	case *ast.SequenceNode:
		for _, v := range n.Values {
			x.substitutions(v)
		}
	default:
		text, _ := x.text(n)
		for _, m := range placeholder.FindAllStringSubmatch(text, -1) {
			if m[3] != "" && !x.names[m[3]] {
				x.Wrong(n, "${%s} is in neither configuration nor secrets", m[3])
			}
		}
	}
}
