package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Error is a mistake in the file.
type Error struct {
	File    string
	Line    int // from 1
	Column  int // from 1, in characters
	Message string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
}

// reader takes values out of the file's tree and collects the mistakes. A decoder into structs would stop at the first one,
// and take text for numbers and numbers without a unit for durations.
type reader struct {
	file     string
	dir      string              // paths in the file begin here
	at       map[string]ast.Node // all values read, by their paths, for mistakes that show only between values
	mistakes []*Error
}

// keys are a mapping's keys, with what reads their values.
type keys map[string]func(ast.Node)

// The parser's time grows with the square of a list's length and of the nesting. With these limits the worst file takes seconds;
// a configuration has some kilobytes and takes a millisecond.
const (
	maxSize    = 256 << 10 // bytes
	maxNesting = 16        // of brackets
	maxColumn  = 2000
)

// parse returns the file's one document.
func (r *reader) parse(data []byte) ast.Node {
	if len(data) > maxSize {
		r.wrongPlace(1, 1, "expected at most %d bytes, found more", maxSize)
		return nil
	}
	tokens := lexer.Tokenize(string(data))
	nesting := 0
	for _, t := range tokens {
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			nesting++
		case token.MappingEndType, token.SequenceEndType:
			nesting--
		}
		if nesting > maxNesting || t.Position.Column > maxColumn {
			r.wrongToken(t, "expected at most %d brackets in each other and %d characters in a line", maxNesting, maxColumn)
			return nil
		}
	}
	f, err := parser.Parse(tokens, 0)
	if err != nil {
		r.syntax(err)
		return nil
	}
	var body ast.Node
	for _, doc := range f.Docs {
		switch doc.Body.(type) {
		case nil, *ast.DirectiveNode:
			continue
		}
		if body != nil {
			r.wrong(doc.Body, "expected one document, found another")
			return nil
		}
		body = doc.Body
	}
	if body == nil {
		r.wrongPlace(1, 1, "expected the broker's configuration, found an empty file")
	}
	return body
}

// syntax reports the parser's error without the lines around it, which it would show and which may hold a secret.
func (r *reader) syntax(err error) {
	var known yaml.Error
	if !errors.As(err, &known) || known.GetToken() == nil {
		r.wrongPlace(1, 1, "not YAML")
		return
	}
	r.wrongToken(known.GetToken(), "not YAML: %s", known.GetMessage())
}

func (r *reader) wrong(n ast.Node, format string, args ...any) {
	if path := strings.TrimPrefix(strings.TrimPrefix(n.GetPath(), "$"), "."); path != "" {
		format, args = "%s: "+format, append([]any{path}, args...)
	}
	r.wrongToken(first(n), format, args...)
}

func (r *reader) wrongToken(t *token.Token, format string, args ...any) {
	if t == nil || t.Position == nil {
		r.wrongPlace(1, 1, format, args...)
		return
	}
	r.wrongPlace(t.Position.Line, t.Position.Column, format, args...)
}

func (r *reader) wrongPlace(line, column int, format string, args ...any) {
	r.mistakes = append(r.mistakes, &Error{
		File: r.file, Line: max(line, 1), Column: max(column, 1), Message: fmt.Sprintf(format, args...),
	})
}

// err joins the mistakes in the file's order.
func (r *reader) err() error {
	slices.SortStableFunc(r.mistakes, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	errs := make([]error, len(r.mistakes))
	for i, m := range r.mistakes {
		errs[i] = m
	}
	return errors.Join(errs...)
}

// node returns the value at the path, or the nearest one around it.
func (r *reader) node(path string) ast.Node {
	for path != "" {
		if n, ok := r.at[path]; ok {
			return n
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return r.at["$"]
}

// mapping reads a mapping whose keys are known.
func (r *reader) mapping(n ast.Node, known keys, required ...string) {
	found := map[string]bool{}
	r.entries(n, func(key ast.MapKeyNode, name string, value ast.Node) {
		found[name] = true
		read, ok := known[name]
		if !ok {
			r.wrong(key, "unknown key; expected %s", strings.Join(slices.Sorted(maps.Keys(known)), ", "))
			return
		}
		read(value)
	})
	if _, ok := n.(*ast.MappingNode); !ok {
		return
	}
	for _, name := range required {
		if !found[name] {
			r.wrong(n, "%s is missing", name)
		}
	}
}

// entries reads a mapping with any keys.
func (r *reader) entries(n ast.Node, each func(key ast.MapKeyNode, name string, value ast.Node)) {
	r.at[n.GetPath()] = n
	m, ok := n.(*ast.MappingNode)
	if !ok {
		r.wrong(n, "expected a mapping, found %s", found(n))
		return
	}
	for _, v := range m.Values {
		key, ok := v.Key.(*ast.StringNode)
		if !ok {
			r.wrongToken(first(v.Key), "expected a key that is text, found %s; put it in quotes", found(v.Key))
			continue
		}
		r.at[v.Value.GetPath()] = v.Value
		each(key, key.Value, v.Value)
	}
}

// list reads a list of at least one item.
func (r *reader) list(item func(ast.Node)) func(ast.Node) {
	return func(n ast.Node) {
		s, ok := n.(*ast.SequenceNode)
		if !ok || len(s.Values) == 0 {
			r.wrong(n, "expected a list with at least one item, found %s", found(n))
			return
		}
		for _, v := range s.Values {
			r.at[v.GetPath()] = v
			item(v)
		}
	}
}

// scalar returns a line of text that is not empty.
func (r *reader) scalar(n ast.Node, expected string) (string, bool) {
	s, ok := n.(*ast.StringNode)
	switch {
	case !ok:
		if _, number := n.(*ast.IntegerNode); number {
			expected += " (in quotes, if it is a number)"
		}
		r.wrong(n, "expected %s, found %s", expected, found(n))
	case strings.TrimSpace(s.Value) == "":
		r.wrong(n, "expected %s, found an empty text", expected)
	case !utf8.ValidString(s.Value) || strings.ContainsFunc(s.Value, unicode.IsControl):
		r.wrong(n, "expected %s, found a text with line breaks or other control characters", expected)
	default:
		return s.Value, true
	}
	return "", false
}

func (r *reader) text(to *string) func(ast.Node) {
	return func(n ast.Node) {
		if s, ok := r.scalar(n, "text"); ok {
			*to = s
		}
	}
}

// checked reads a text that must pass a check, which need not show what was found: it may hold a password.
func (r *reader) checked(to *string, expected string, valid func(string) bool) func(ast.Node) {
	return func(n ast.Node) {
		s, ok := r.scalar(n, expected)
		if !ok {
			return
		}
		if !valid(s) {
			r.wrong(n, "expected %s, found something else", expected)
			return
		}
		*to = s
	}
}

func (r *reader) texts(to *[]string) func(ast.Node) {
	return r.list(func(n ast.Node) {
		var s string
		r.text(&s)(n)
		*to = append(*to, s)
	})
}

// path reads a file's name; a relative one begins at the configuration's folder.
func (r *reader) path(to *string) func(ast.Node) {
	return func(n ast.Node) {
		s, ok := r.scalar(n, "a file's path")
		if !ok {
			return
		}
		if !filepath.IsAbs(s) {
			s = filepath.Join(r.dir, s)
		}
		*to = s
	}
}

// number reads a whole number between both, both included.
func (r *reader) number(to *int, low, high int) func(ast.Node) {
	return func(n ast.Node) {
		expected := fmt.Sprintf("a whole number from %d to %d", low, high)
		i, ok := n.(*ast.IntegerNode)
		if !ok {
			r.wrong(n, "expected %s, found %s", expected, found(n))
			return
		}
		var value int64
		switch v := i.Value.(type) {
		case int64:
			value = v
		case uint64:
			value = int64(min(v, uint64(high)+1)) // beyond int64 is beyond the limit too
		default:
			r.wrong(n, "expected %s, found %s", expected, found(n))
			return
		}
		if value < int64(low) || value > int64(high) {
			r.wrong(n, "expected %s, found %s", expected, i.GetToken().Value)
			return
		}
		*to = int(value)
	}
}

func (r *reader) boolean(to *bool) func(ast.Node) {
	return func(n ast.Node) {
		b, ok := n.(*ast.BoolNode)
		if !ok {
			r.wrong(n, "expected true or false, found %s", found(n))
			return
		}
		*to = b.Value
	}
}

// duration reads a duration between both, both included.
func (r *reader) duration(to *time.Duration, low, high time.Duration) func(ast.Node) {
	return func(n ast.Node) {
		expected := fmt.Sprintf("a duration from %s to %s, with its unit", short(low), short(high))
		s, ok := n.(*ast.StringNode)
		if !ok {
			r.wrong(n, "expected %s, found %s", expected, found(n))
			return
		}
		d, err := time.ParseDuration(s.Value)
		if err != nil || d < low || d > high {
			r.wrong(n, "expected %s, found %s", expected, found(n))
			return
		}
		*to = d
	}
}

// oneOf reads one of the words.
func oneOf[T ~string](r *reader, to *T, words ...T) func(ast.Node) {
	expected := make([]string, len(words))
	for i, w := range words {
		expected[i] = string(w)
	}
	return func(n ast.Node) {
		s, ok := n.(*ast.StringNode)
		if !ok || !slices.Contains(words, T(s.Value)) {
			r.wrong(n, "expected one of %s; found %s", strings.Join(expected, ", "), found(n))
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

// first is where a value begins; a mapping's own token is its first colon.
func first(n ast.Node) *token.Token {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return m.Values[0].Key.GetToken()
	}
	return n.GetToken()
}

// found says what a value is, for people.
func found(n ast.Node) string {
	switch n := n.(type) {
	case *ast.StringNode:
		if n.Value == "" {
			return "an empty text"
		}
		if runes := []rune(n.Value); len(runes) > 40 {
			return fmt.Sprintf("the text %q...", string(runes[:40]))
		}
		return fmt.Sprintf("the text %q", n.Value)
	case *ast.LiteralNode:
		return "a block of text"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "the number " + n.GetToken().Value
	case *ast.BoolNode:
		return n.GetToken().Value
	case *ast.NullNode:
		return "nothing"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		if len(n.Values) == 0 {
			return "an empty list"
		}
		return "a list"
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		return "an anchor or alias, which this file does not take"
	case *ast.TagNode:
		return "a tag, which this file does not take"
	case *ast.MappingKeyNode:
		return "a key with a question mark"
	}
	return "something else"
}
