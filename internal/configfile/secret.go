package configfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Secret says where a secret is. It never holds the secret itself, so that it may be printed. The zero Secret is none.
type Secret struct {
	File string // its path
	Env  string // the environment variable's name

	plain  string // a database's DSN without a password, which the file may spell out
	origin string // where the configuration names it, for errors
}

// Plain is a Secret that the file spells out because there is nothing to hide in it: a database's DSN without a password.
func Plain(value string) Secret { return Secret{plain: value} }

// maxSecret is far above any password, token or cloud-init script; it ends the reading of a device.
const maxSecret = 1 << 20

// Given says whether there is a secret.
func (s Secret) Given() bool { return s.File != "" || s.Env != "" || s.plain != "" }

// Read returns the secret, without one newline at its end. An empty one is an error, and so is one that is not given.
func (s Secret) Read() (string, error) {
	if s.plain != "" {
		return s.plain, nil
	}
	value, err := s.read()
	if err != nil && s.origin != "" {
		return "", fmt.Errorf("reading the secret %s: %w", s.origin, err)
	}
	if err != nil {
		return "", fmt.Errorf("reading a secret: %w", err)
	}
	return value, nil
}

func (s Secret) read() (string, error) {
	switch {
	case s.File != "":
		f, err := os.Open(s.File)
		if err != nil {
			return "", err
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
		if err != nil {
			return "", err
		}
		if len(b) > maxSecret {
			return "", fmt.Errorf("the file %s has more than %d bytes", s.File, maxSecret)
		}
		value := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
		if value == "" {
			return "", fmt.Errorf("the file %s is empty; write the secret into it", s.File)
		}
		return value, nil
	case s.Env != "":
		value, ok := os.LookupEnv(s.Env)
		if !ok {
			return "", fmt.Errorf("the environment variable %s is not set", s.Env)
		}
		if value == "" {
			return "", fmt.Errorf("the environment variable %s is empty", s.Env)
		}
		return value, nil
	}
	return "", errors.New("none is given")
}

// String says where the secret is.
func (s Secret) String() string {
	switch {
	case s.File != "":
		return "file " + s.File
	case s.Env != "":
		return "environment variable " + s.Env
	case s.plain != "":
		return "in the configuration"
	}
	return "none"
}

// GoString is what %#v prints.
func (s Secret) GoString() string { return "configfile.Secret(" + s.String() + ")" }

// MarshalText is what JSON and YAML show.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Secret reads {file: PATH} or {env: NAME}. Nothing that is found is shown: it may be the secret.
func (r *Reader) Secret(to *Secret) func(ast.Node) {
	return func(n ast.Node) {
		const expected = "expected {file: PATH} or {env: NAME}"
		m, ok := n.(*ast.MappingNode)
		if !ok {
			switch n.(type) {
			case *ast.SequenceNode, *ast.NullNode, *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
				r.Wrong(n, expected+", found %s", Found(n))
			default:
				r.Wrong(n, expected+", found the value itself; whoever may read this file, its copies and its history would have "+
					"the secret, so put it in a file of its own")
			}
			return
		}
		if len(m.Values) != 1 {
			r.Wrong(n, expected+", found %d keys", len(m.Values))
			return
		}
		key, value := m.Values[0].Key, m.Values[0].Value
		s := Secret{origin: fmt.Sprintf("%s (%s:%d)", strings.TrimPrefix(n.GetPath(), "$."), r.file, n.GetToken().Position.Line)}
		switch key.GetToken().Value {
		case "file":
			r.Path(&s.File)(value)
		case "env":
			name := regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
			r.Checked(&s.Env, "the name of an environment variable", name.MatchString)(value)
		default:
			r.wrongToken(key.GetToken(), "%s: "+expected+", found another key", strings.TrimPrefix(n.GetPath(), "$."))
			return
		}
		*to = s
	}
}
