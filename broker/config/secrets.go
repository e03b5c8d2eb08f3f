package config

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// secret reads {file: PATH} or {env: NAME}. Nothing that is found is shown: it may be the secret.
func (r *reader) secret(to *Secret) func(ast.Node) {
	return func(n ast.Node) {
		const expected = "expected {file: PATH} or {env: NAME}"
		m, ok := n.(*ast.MappingNode)
		if !ok {
			switch n.(type) {
			case *ast.SequenceNode, *ast.NullNode, *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
				r.wrong(n, expected+", found %s", found(n))
			default:
				r.wrong(n, expected+", found the value itself; whoever may read this file, its copies and its history would have "+
					"the secret, so put it in a file of its own")
			}
			return
		}
		if len(m.Values) != 1 {
			r.wrong(n, expected+", found %d keys", len(m.Values))
			return
		}
		key, value := m.Values[0].Key, m.Values[0].Value
		s := Secret{origin: fmt.Sprintf("%s (%s:%d)", strings.TrimPrefix(n.GetPath(), "$."), r.file, n.GetToken().Position.Line)}
		switch key.GetToken().Value {
		case "file":
			r.path(&s.File)(value)
		case "env":
			name := regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
			r.checked(&s.Env, "the name of an environment variable", name.MatchString)(value)
		default:
			r.wrongToken(key.GetToken(), "%s: "+expected+", found another key", strings.TrimPrefix(n.GetPath(), "$."))
			return
		}
		*to = s
	}
}

// database reads a DSN; one without a password may be spelled out.
func (r *reader) database(to *Secret) func(ast.Node) {
	return func(n ast.Node) {
		if _, ok := n.(*ast.StringNode); !ok {
			r.secret(to)(n)
			return
		}
		const expected = "sqlite:///ABSOLUTE/PATH, postgres://USER@HOST/DATABASE, {file: PATH} or {env: NAME}"
		s, ok := r.scalar(n, expected)
		if !ok {
			return
		}
		u, err := url.Parse(s)
		switch {
		case err != nil: // the error shows the DSN
		case u.Scheme == "sqlite" && u.Host == "" && len(u.Path) > 1 && u.User == nil && u.RawQuery == "" && u.Fragment == "":
			to.plain = s
			return
		case u.Scheme == "postgres" || u.Scheme == "postgresql":
			_, password := u.User.Password()
			for key := range u.Query() {
				password = password || strings.Contains(strings.ToLower(key), "password")
			}
			if password {
				r.wrong(n, "expected {file: PATH} or {env: NAME} for a DSN with a password, found the DSN itself; whoever may "+
					"read this file, its copies and its history would have the password")
				return
			}
			to.plain = s
			return
		}
		r.wrong(n, "expected %s, found something else", expected)
	}
}
