package configfile

import (
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
)

// Scalar returns a line of text that is not empty.
func (r *Reader) Scalar(n ast.Node, expected string) (string, bool) {
	s, ok := n.(*ast.StringNode)
	switch {
	case !ok:
		if _, number := n.(*ast.IntegerNode); number {
			expected += " (in quotes, if it is a number)"
		}
		r.Wrong(n, "expected %s, found %s", expected, Found(n))
	case strings.TrimSpace(s.Value) == "":
		r.Wrong(n, "expected %s, found an empty text", expected)
	case !utf8.ValidString(s.Value) || strings.ContainsFunc(s.Value, unicode.IsControl):
		r.Wrong(n, "expected %s, found a text with line breaks or other control characters", expected)
	default:
		return s.Value, true
	}
	return "", false
}

// Text reads a line of text.
func (r *Reader) Text(to *string) func(ast.Node) {
	return func(n ast.Node) {
		if s, ok := r.Scalar(n, "text"); ok {
			*to = s
		}
	}
}

// Checked reads a text that must pass a check, which need not show what was found: it may hold a password.
func (r *Reader) Checked(to *string, expected string, valid func(string) bool) func(ast.Node) {
	return func(n ast.Node) {
		s, ok := r.Scalar(n, expected)
		if !ok {
			return
		}
		if !valid(s) {
			r.Wrong(n, "expected %s, found something else", expected)
			return
		}
		*to = s
	}
}

// HostPort reads a server's address.
func (r *Reader) HostPort(to *string) func(ast.Node) {
	return r.Checked(to, "host:port", func(s string) bool {
		host, port, err := net.SplitHostPort(s)
		return err == nil && host != "" && port != ""
	})
}

// Texts reads a list of texts.
func (r *Reader) Texts(to *[]string) func(ast.Node) {
	return r.List(func(n ast.Node) {
		var s string
		r.Text(&s)(n)
		*to = append(*to, s)
	})
}

// Parsed reads a text that a function understands. What was found is not shown.
func Parsed[T any](r *Reader, expected string, to *T, parse func(string) (T, error)) func(ast.Node) {
	return func(n ast.Node) {
		var text string
		r.Checked(&text, expected, func(s string) bool {
			v, err := parse(s)
			if err == nil {
				*to = v
			}
			return err == nil
		})(n)
	}
}

// Path reads a file's name; a relative one begins at the configuration's folder.
func (r *Reader) Path(to *string) func(ast.Node) {
	return func(n ast.Node) {
		s, ok := r.Scalar(n, "a file's path")
		if !ok {
			return
		}
		if strings.HasPrefix(s, "~") {
			r.Wrong(n, "expected a path without ~, which only shells take for a home folder")
			return
		}
		if !filepath.IsAbs(s) {
			s = filepath.Join(r.dir, s)
		}
		*to = s
	}
}

// Paths reads a list of files' names or of patterns of them; relative ones begin at the configuration's folder.
func (r *Reader) Paths(to *[]string) func(ast.Node) {
	return r.List(func(n ast.Node) {
		var s string
		r.Path(&s)(n)
		if _, err := filepath.Match(s, ""); err != nil {
			r.Wrong(n, "expected a file's path or a pattern of paths, found %s", Found(n))
		}
		*to = append(*to, s)
	})
}

// Number reads a whole number between both, both included.
func (r *Reader) Number(to *int, low, high int) func(ast.Node) {
	return func(n ast.Node) {
		expected := fmt.Sprintf("a whole number from %d to %d", low, high)
		i, ok := n.(*ast.IntegerNode)
		if !ok {
			r.Wrong(n, "expected %s, found %s", expected, Found(n))
			return
		}
		var value int64
		switch v := i.Value.(type) {
		case int64:
			value = v
		case uint64:
			value = int64(min(v, uint64(high)+1)) // beyond int64 is beyond the limit too
		default:
			r.Wrong(n, "expected %s, found %s", expected, Found(n))
			return
		}
		if value < int64(low) || value > int64(high) {
			r.Wrong(n, "expected %s, found %s", expected, i.GetToken().Value)
			return
		}
		*to = int(value)
	}
}

// Boolean reads true or false.
func (r *Reader) Boolean(to *bool) func(ast.Node) {
	return func(n ast.Node) {
		b, ok := n.(*ast.BoolNode)
		if !ok {
			r.Wrong(n, "expected true or false, found %s", Found(n))
			return
		}
		*to = b.Value
	}
}

// Duration reads a duration between both, both included.
func (r *Reader) Duration(to *time.Duration, low, high time.Duration) func(ast.Node) {
	return func(n ast.Node) {
		expected := fmt.Sprintf("a duration from %s to %s, with its unit", short(low), short(high))
		s, ok := n.(*ast.StringNode)
		if !ok {
			r.Wrong(n, "expected %s, found %s", expected, Found(n))
			return
		}
		d, err := time.ParseDuration(s.Value)
		if err != nil || d < low || d > high {
			r.Wrong(n, "expected %s, found %s", expected, Found(n))
			return
		}
		*to = d
	}
}

// OneOf reads one of the words.
func OneOf[T ~string](r *Reader, to *T, words ...T) func(ast.Node) {
	expected := make([]string, len(words))
	for i, w := range words {
		expected[i] = string(w)
	}
	return func(n ast.Node) {
		s, ok := n.(*ast.StringNode)
		if !ok || !slices.Contains(words, T(s.Value)) {
			r.Wrong(n, "expected one of %s; found %s", strings.Join(expected, ", "), Found(n))
			return
		}
		*to = T(s.Value)
	}
}

// short spells a duration without units that are zero: 2h, not 2h0m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Name reads what becomes part of other names: of a server in Nova, of its tags (which take neither '/' nor ','), of a label.
func (r *Reader) Name(to *string) func(ast.Node) {
	valid := regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$`)
	expected := "a name of at most 40 letters, digits, '.', '_' and '-' that begins with a letter or a digit"
	return func(n ast.Node) {
		s, ok := r.Scalar(n, expected)
		if !ok {
			return
		}
		if !valid.MatchString(s) {
			r.Wrong(n, "expected %s, found %s", expected, Found(n))
			return
		}
		*to = s
	}
}
