package native

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// Arguments are a function's arguments after configuration and secrets are substituted: JSON's types, by name. The methods that
// read them expect arguments that Check has passed.
type Arguments map[string]any

// ArgumentError is an argument that is not as the function wants it.
type ArgumentError struct {
	Name    string // of the argument
	Message string
}

func (e *ArgumentError) Error() string { return e.Name + ": " + e.Message }

// Wrong is an *ArgumentError of a function that knows more than Check. The message must not show a value that may be a secret.
func Wrong(name, format string, args ...any) error {
	return &ArgumentError{Name: name, Message: fmt.Sprintf(format, args...)}
}

// Find returns the function of the name and kind in a table. The error says which there are.
func Find(table []Function, name string, kind Kind) (Function, error) {
	var names []string
	for _, f := range table {
		if f.Name == name && f.Kind == kind {
			return f, nil
		}
		if f.Name == name {
			return Function{}, fmt.Errorf("%s is a native %s; expected a native %s", name, f.Kind, kind)
		}
		if f.Kind == kind {
			names = append(names, f.Name)
		}
	}
	slices.Sort(names)
	return Function{}, fmt.Errorf("there is no native %s %q; there are %s", kind, name, strings.Join(names, ", "))
}

// Check joins an *ArgumentError for each argument that is unknown, missing or of the wrong type. Where a text still has a
// substitution in it ("${...}"), its type is not known yet, and it passes.
func (f Function) Check(a Arguments) error {
	return f.check(a, func(text string) bool { return strings.Contains(text, "${") })
}

// CheckValues is Check after substitution: a text that has "${" in it then is one like another.
func (f Function) CheckValues(a Arguments) error {
	return f.check(a, func(string) bool { return false })
}

func (f Function) check(a Arguments, open func(text string) bool) error {
	var errs []error
	wrong := func(name, format string, args ...any) {
		errs = append(errs, &ArgumentError{name, fmt.Sprintf(format, args...)})
	}
	known := map[string]bool{}
	for _, p := range f.Parameters {
		known[p.Name] = true
		value, ok := a[p.Name]
		if !ok {
			if p.Required {
				wrong(p.Name, "is missing; expected %s", p.expected())
			}
			continue
		}
		if text, ok := value.(string); ok && open(text) {
			continue
		}
		if !p.takes(value) {
			wrong(p.Name, "expected %s, found %s", p.expected(), found(value))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a)) {
		if !known[name] {
			names := make([]string, len(f.Parameters))
			for i, p := range f.Parameters {
				names[i] = p.Name
			}
			wrong(name, "unknown argument of %s; expected %s", f.Name, strings.Join(names, ", "))
		}
	}
	return errors.Join(errs...)
}

func (p Parameter) expected() string {
	switch {
	case len(p.OneOf) > 0:
		return "one of " + strings.Join(p.OneOf, ", ")
	case p.Type == Duration:
		return `a duration such as "30s", or a number of seconds`
	case p.Type == List:
		return "a list of texts"
	case p.Type == Integer:
		return "a whole number"
	case p.Type == Boolean:
		return "true or false"
	}
	return "a " + string(p.Type)
}

func (p Parameter) takes(value any) bool {
	switch p.Type {
	case Text:
		text, ok := value.(string)
		return ok && (len(p.OneOf) == 0 || slices.Contains(p.OneOf, text))
	case Integer:
		n, ok := number(value)
		return ok && n == math.Trunc(n) && math.Abs(n) < 1<<53
	case Number:
		_, ok := number(value)
		return ok
	case Boolean:
		_, ok := value.(bool)
		return ok
	case Duration:
		_, ok := duration(value)
		return ok
	case List:
		_, ok := texts(value)
		return ok
	case Mapping:
		_, ok := value.(map[string]any)
		return ok
	}
	return false
}

// found says what a value is without showing it: it may be a secret.
func found(value any) string {
	switch value.(type) {
	case nil:
		return "nothing"
	case string:
		return "a text that is none"
	case bool:
		return "true or false"
	case map[string]any:
		return "a mapping"
	case []any:
		return "a list"
	}
	return "a number that is none"
}

// Has says whether there is an argument of the name.
func (a Arguments) Has(name string) bool { _, ok := a[name]; return ok }

// Text returns a text, or otherwise if there is none.
func (a Arguments) Text(name, otherwise string) string {
	if text, ok := a[name].(string); ok {
		return text
	}
	return otherwise
}

// Number returns a number, or otherwise if there is none.
func (a Arguments) Number(name string, otherwise float64) float64 {
	if n, ok := number(a[name]); ok {
		return n
	}
	return otherwise
}

// Integer returns a whole number, or otherwise if there is none.
func (a Arguments) Integer(name string, otherwise int) int {
	if n, ok := number(a[name]); ok {
		return int(n)
	}
	return otherwise
}

// Boolean returns true or false, or otherwise if there is neither.
func (a Arguments) Boolean(name string, otherwise bool) bool {
	if b, ok := a[name].(bool); ok {
		return b
	}
	return otherwise
}

// Duration returns a duration, or otherwise if there is none.
func (a Arguments) Duration(name string, otherwise time.Duration) time.Duration {
	if d, ok := duration(a[name]); ok {
		return d
	}
	return otherwise
}

// Texts returns a list of texts; nil if there is none.
func (a Arguments) Texts(name string) []string {
	list, _ := texts(a[name])
	return list
}

// Mapping returns a mapping; nil if there is none.
func (a Arguments) Mapping(name string) map[string]any {
	m, _ := a[name].(map[string]any)
	return m
}

func number(value any) (float64, bool) {
	var n float64
	switch v := value.(type) {
	case int:
		n = float64(v)
	case int64:
		n = float64(v)
	case uint64:
		n = float64(v)
	case float64:
		n = v
	default:
		return 0, false
	}
	return n, !math.IsNaN(n) && !math.IsInf(n, 0)
}

// longest keeps seconds within a time.Duration.
const longest = 366 * 24 * time.Hour

func duration(value any) (time.Duration, bool) {
	if n, ok := number(value); ok {
		return time.Duration(n * float64(time.Second)), n >= 0 && n <= longest.Seconds()
	}
	text, ok := value.(string)
	if !ok {
		return 0, false
	}
	d, err := time.ParseDuration(text)
	return d, err == nil && d >= 0 && d <= longest
}

func texts(value any) ([]string, bool) {
	if list, ok := value.([]string); ok {
		return list, true
	}
	list, ok := value.([]any)
	if !ok {
		return nil, false
	}
	all := make([]string, len(list))
	for i, v := range list {
		if all[i], ok = v.(string); !ok {
			return nil, false
		}
	}
	return all, true
}
