package configfile

import (
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// Items reads a list, which may be empty.
func (r *Reader) Items(item func(ast.Node)) func(ast.Node) {
	return func(n ast.Node) {
		r.at[n.GetPath()] = n
		s, ok := n.(*ast.SequenceNode)
		if !ok {
			r.Wrong(n, "expected a list, found %s", Found(n))
			return
		}
		for _, v := range s.Values {
			r.at[v.GetPath()] = v
			item(v)
		}
	}
}

// Free reads any value as JSON's types: nil, bool, string, int64, uint64 (above int64), float64, []any and map[string]any. What
// reads differently by YAML's versions (yes, on) must be in quotes.
func (r *Reader) Free(n ast.Node) any {
	r.at[n.GetPath()] = n
	switch n := n.(type) {
	case *ast.NullNode:
		return nil
	case *ast.BoolNode:
		return n.Value
	case *ast.StringNode:
		r.Ambiguous(n)
		return n.Value
	case *ast.LiteralNode:
		return n.Value.Value
	case *ast.IntegerNode:
		switch v := n.Value.(type) {
		case int64:
			return v
		case uint64:
			if v <= math.MaxInt64 {
				return int64(v)
			}
			return v
		}
	case *ast.FloatNode:
		if !math.IsInf(n.Value, 0) && !math.IsNaN(n.Value) {
			return n.Value
		}
	case *ast.MappingNode:
		m := make(map[string]any, len(n.Values))
		r.Entries(n, func(key ast.MapKeyNode, name string, value ast.Node) {
			r.Ambiguous(key)
			m[name] = r.Free(value)
		})
		return m
	case *ast.SequenceNode:
		list := make([]any, len(n.Values))
		for i, v := range n.Values {
			list[i] = r.Free(v)
		}
		return list
	}
	r.Wrong(n, "expected a text, a number, true or false, a list or a mapping, found %s", Found(n))
	return nil
}

// exponent is a number that YAML reads as a text and JSON as a number, as do those with more digits than an integer has.
var exponent = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// sexagesimal is a number in YAML 1.1: 12:30 is 750.
var sexagesimal = regexp.MustCompile(`^[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?$`)

// Ambiguous reports a text without quotes that other programs take for something else: yes, no, on and off are truths in YAML 1.1; 1e3
// is a number in JSON.
func (r *Reader) Ambiguous(n ast.Node) {
	s, ok := n.(*ast.StringNode)
	switch {
	case !ok || s.Token.Type != token.StringType:
	case slices.Contains([]string{"yes", "no", "on", "off"}, strings.ToLower(s.Value)):
		r.Wrong(n, "expected true, false, or a text in quotes, found %s, which is a truth to some programs and a text to others",
			s.Value)
	case exponent.MatchString(s.Value):
		r.Wrong(n, "expected a number in digits, at most 18, or a text in quotes, found %s, which is a number to some programs and "+
			"a text to others", s.Value)
	case sexagesimal.MatchString(s.Value):
		r.Wrong(n, "expected a text in quotes, found %s, which is a number to some programs and a text to others", s.Value)
	}
}

// Line is where a value begins, from 1.
func Line(n ast.Node) int {
	if t := first(n); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 1
}
