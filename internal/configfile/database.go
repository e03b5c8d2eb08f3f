package configfile

import (
	"net/url"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Database reads a DSN; one without a password may be spelled out.
func (r *Reader) Database(to *Secret) func(ast.Node) {
	return func(n ast.Node) {
		if _, ok := n.(*ast.StringNode); !ok {
			r.Secret(to)(n)
			return
		}
		const expected = "sqlite:///ABSOLUTE/PATH, postgres://USER@HOST/DATABASE, {file: PATH} or {env: NAME}"
		s, ok := r.Scalar(n, expected)
		if !ok {
			return
		}
		u, err := url.Parse(s)
		switch {
		case err != nil: // the error shows the DSN
		case u.Scheme == "sqlite" && u.Host == "" && len(u.Path) > 1 && u.User == nil && u.RawQuery == "" && u.Fragment == "":
			*to = Plain(s)
			return
		case u.Scheme == "postgres" || u.Scheme == "postgresql":
			_, password := u.User.Password()
			for key := range u.Query() {
				password = password || strings.Contains(strings.ToLower(key), "password")
			}
			if password {
				r.Wrong(n, "expected {file: PATH} or {env: NAME} for a DSN with a password, found the DSN itself; whoever may "+
					"read this file, its copies and its history would have the password")
				return
			}
			*to = Plain(s)
			return
		}
		r.Wrong(n, "expected %s, found something else", expected)
	}
}
