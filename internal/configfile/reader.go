// Package configfile reads deskstorm's configuration files: YAML, read strictly, so that a mistake is found at start and not at
// night. Every mistake names file, line, column, what was expected and what was found, and all are told at once.
//
// Secrets are named and not spelled out: {file: PATH} or {env: NAME}. Paths that are not absolute begin at the file's folder.
// Durations carry their unit: 30s, 5m, 1h30m.
package configfile

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

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

// Reader takes values out of the file's tree and collects the mistakes. A decoder into structs would stop at the first one,
// and take text for numbers and numbers without a unit for durations.
type Reader struct {
	file     string
	what     string              // the file is expected to be: "the broker's configuration"
	dir      string              // paths in the file begin here
	at       map[string]ast.Node // all values read, by their paths, for mistakes that show only between values
	mistakes []*Error
}

// Load reads a file that holds what: "the broker's configuration". The Node is nil where the file is no YAML; Err says why then.
func Load(path, what string) (*Reader, ast.Node, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("reading %s: %w", what, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, nil, fmt.Errorf("reading %s: %w", what, err)
	}
	r, root := Parse(data, path, what)
	return r, root, nil
}

// Parse is Load of bytes. The name is the file's path; mistakes begin with it, and relative paths begin in its folder.
func Parse(data []byte, name, what string) (*Reader, ast.Node) {
	r := &Reader{file: name, what: what, dir: filepath.Dir(name), at: map[string]ast.Node{}}
	return r, r.parse(data)
}

// Keys are a mapping's keys, with what reads their values.
type Keys map[string]func(ast.Node)

// The parser's time grows with the square of a list's length and of the nesting. With these limits the worst file takes seconds;
// a configuration has some kilobytes and takes a millisecond.
const (
	maxSize    = 256 << 10 // bytes
	maxNesting = 16        // of brackets
	maxColumn  = 2000
)

// parse returns the file's one document.
func (r *Reader) parse(data []byte) ast.Node {
	if len(data) > maxSize {
		r.wrongPlace(1, 1, "expected at most %d bytes, found more", maxSize)
		return nil
	}
	tokens := lexer.Tokenize(strings.TrimPrefix(string(data), "\ufeff")) // some editors mark UTF-8 so
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
			r.Wrong(doc.Body, "expected one document, found another")
			return nil
		}
		body = doc.Body
	}
	if body == nil {
		r.wrongPlace(1, 1, "expected %s, found an empty file", r.what)
	}
	return body
}

// syntax reports the parser's error without the lines around it, which it would show and which may hold a secret.
func (r *Reader) syntax(err error) {
	var known yaml.Error
	if !errors.As(err, &known) || known.GetToken() == nil {
		r.wrongPlace(1, 1, "not YAML")
		return
	}
	r.wrongToken(known.GetToken(), "not YAML: %s", known.GetMessage())
}

// Wrong reports a mistake at a value.
func (r *Reader) Wrong(n ast.Node, format string, args ...any) {
	if path := strings.TrimPrefix(strings.TrimPrefix(n.GetPath(), "$"), "."); path != "" {
		format, args = "%s: "+format, append([]any{path}, args...)
	}
	r.wrongToken(first(n), format, args...)
}

func (r *Reader) wrongToken(t *token.Token, format string, args ...any) {
	if t == nil || t.Position == nil {
		r.wrongPlace(1, 1, format, args...)
		return
	}
	r.wrongPlace(t.Position.Line, t.Position.Column, format, args...)
}

func (r *Reader) wrongPlace(line, column int, format string, args ...any) {
	r.mistakes = append(r.mistakes, &Error{
		File: r.file, Line: max(line, 1), Column: max(column, 1), Message: fmt.Sprintf(format, args...),
	})
}

// Err joins the mistakes, an *Error each, in the file's order; nil if there are none.
func (r *Reader) Err() error {
	slices.SortStableFunc(r.mistakes, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	errs := make([]error, len(r.mistakes))
	for i, m := range r.mistakes {
		errs[i] = m
	}
	return errors.Join(errs...)
}

// Has says whether there was a value at the path ("$.cloud.name").
func (r *Reader) Has(path string) bool {
	_, ok := r.at[path]
	return ok
}

// Node returns the value at the path, or the nearest one around it.
func (r *Reader) Node(path string) ast.Node {
	for path != "" {
		if n, ok := r.at[path]; ok {
			return n
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return r.at["$"]
}

// Mapping reads a mapping whose keys are known.
func (r *Reader) Mapping(n ast.Node, known Keys, required ...string) {
	found := map[string]bool{}
	r.Entries(n, func(key ast.MapKeyNode, name string, value ast.Node) {
		found[name] = true
		read, ok := known[name]
		if !ok {
			r.Wrong(key, "unknown key; expected %s", strings.Join(slices.Sorted(maps.Keys(known)), ", "))
			return
		}
		read(value)
	})
	if _, ok := n.(*ast.MappingNode); !ok {
		return
	}
	for _, name := range required {
		if !found[name] {
			r.Wrong(n, "%s is missing", name)
		}
	}
}

// Entries reads a mapping with any keys.
func (r *Reader) Entries(n ast.Node, each func(key ast.MapKeyNode, name string, value ast.Node)) {
	r.at[n.GetPath()] = n
	m, ok := n.(*ast.MappingNode)
	if !ok {
		r.Wrong(n, "expected a mapping, found %s", Found(n))
		return
	}
	for _, v := range m.Values {
		key, ok := v.Key.(*ast.StringNode)
		if !ok {
			r.wrongToken(first(v.Key), "expected a key that is text, found %s; put it in quotes", Found(v.Key))
			continue
		}
		r.at[v.Value.GetPath()] = v.Value
		each(key, key.Value, v.Value)
	}
}

// List reads a list of at least one item.
func (r *Reader) List(item func(ast.Node)) func(ast.Node) {
	return func(n ast.Node) {
		s, ok := n.(*ast.SequenceNode)
		if !ok || len(s.Values) == 0 {
			r.Wrong(n, "expected a list with at least one item, found %s", Found(n))
			return
		}
		for _, v := range s.Values {
			r.at[v.GetPath()] = v
			item(v)
		}
	}
}

// first is where a value begins; a mapping's own token is its first colon.
func first(n ast.Node) *token.Token {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return m.Values[0].Key.GetToken()
	}
	return n.GetToken()
}

// Found says what a value is, for people.
func Found(n ast.Node) string {
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
