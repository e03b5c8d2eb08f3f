package experiment

import (
	"regexp"
	"regexp/syntax"

	"github.com/goccy/go-yaml/ast"
	"github.com/theory/jsonpath"

	"github.com/deskstorm/deskstorm/internal/configfile"
)

func (x *reader) tolerance(n ast.Node) *Tolerance {
	switch n := n.(type) {
	case *ast.MappingNode:
		return x.typedTolerance(n)
	case *ast.SequenceNode:
		if len(n.Values) == 0 {
			x.Wrong(n, "expected the values that are fine, or two limits, found an empty list")
		}
		list := x.Free(n)
		if values, ok := list.([]any); ok && len(values) == 2 && !alike(values[0], values[1]) {
			x.Wrong(n, "expected two numbers or two texts, which are limits; for one of two values, name one of them twice")
		}
		return &Tolerance{Type: ToleranceList, Value: list}
	case *ast.FloatNode:
		x.Wrong(n, "the Chaos Toolkit takes no number with a fraction here; use {type: range, range: [LOW, HIGH]}")
		return nil
	case *ast.NullNode:
		x.Wrong(n, "expected what the probe's value must be, found nothing")
		return nil
	}
	return &Tolerance{Value: x.Free(n)}
}

// alike says whether Python compares two values by size.
func alike(a, b any) bool {
	kind := func(v any) int {
		switch v.(type) {
		case string:
			return 1
		case int64, uint64, float64, bool:
			return 2
		}
		return 0
	}
	return kind(a) != 0 && kind(a) == kind(b)
}

func (x *reader) typedTolerance(n *ast.MappingNode) *Tolerance {
	t := &Tolerance{}
	kind := field(n, "type")
	if kind == nil {
		x.Wrong(n, "type is missing; expected regex, jsonpath, range or probe")
		return nil
	}
	word, _ := x.text(kind)
	t.Type = ToleranceType(word)
	known := configfile.Keys{"type": func(ast.Node) {}, "target": x.Text(&t.Target)}
	switch t.Type {
	case ToleranceRegex:
		known["pattern"] = func(n ast.Node) {
			x.pattern(n, &t.Pattern, "a regular expression", func(s string) error { _, err := CompilePattern(s); return err })
		}
		x.mapping(n, known, nil, "pattern")
	case ToleranceJSONPath:
		known["path"] = func(n ast.Node) {
			x.pattern(n, &t.Path, "a JSON path", func(s string) error { _, err := jsonpath.Parse(s); return err })
		}
		known["count"] = func(n ast.Node) { t.Count = new(int); x.Number(t.Count, 0, 1<<31)(n) }
		known["expect"] = func(n ast.Node) { t.Expect, t.Expected = x.Free(n), true }
		x.mapping(n, known, nil, "path")
	case ToleranceRange:
		known["range"] = func(n ast.Node) {
			list, ok := n.(*ast.SequenceNode)
			if !ok || len(list.Values) != 2 {
				x.Wrong(n, "expected two numbers: [LOW, HIGH]")
				return
			}
			for i, to := range []*float64{&t.Low, &t.High} {
				var ok bool
				if *to, ok = x.number(list.Values[i]); !ok {
					x.Wrong(list.Values[i], "expected a number, found %s", configfile.Found(list.Values[i]))
					return
				}
			}
			if t.Low > t.High {
				x.Wrong(n, "the first number must not be above the second: nothing is between them")
			}
		}
		x.mapping(n, known, nil, "range")
	case ToleranceProbe:
		a := x.activity(n, inTolerance)
		t.Probe = &a
	default:
		x.Wrong(kind, "expected regex, jsonpath, range or probe, found %s", configfile.Found(kind))
	}
	return t
}

// pattern reads a text in a notation of its own. One with names in it is known only when they are substituted.
func (x *reader) pattern(n ast.Node, to *string, what string, check func(string) error) {
	text, ok := x.text(n)
	if !ok || text == "" {
		x.Wrong(n, "expected %s, found %s", what, configfile.Found(n))
		return
	}
	*to = text
	if m := placeholder.FindStringSubmatch(text); m != nil && m[3] != "" && x.names[m[3]] {
		return
	}
	if err := check(text); err != nil {
		x.Wrong(n, "expected %s: %v", what, err)
	}
}

// CompilePattern compiles a regular expression as Python reads it, as far as Go can: without lookarounds and backreferences. A $
// matches before a newline at the end, too, which is where the outputs of processes have one.
func CompilePattern(pattern string) (*regexp.Regexp, error) {
	if _, err := regexp.Compile(pattern); err != nil {
		return nil, err
	}
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, err
	}
	return regexp.Compile(dollars(tree).String())
}

func dollars(tree *syntax.Regexp) *syntax.Regexp {
	if tree.Op == syntax.OpEndText && tree.Flags&syntax.WasDollar != 0 {
		end, _ := syntax.Parse(`(?:\n?\z)`, syntax.Perl)
		return end
	}
	for i, sub := range tree.Sub {
		tree.Sub[i] = dollars(sub)
	}
	return tree
}
