package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/theory/jsonpath"

	"github.com/deskstorm/deskstorm/runner/experiment"
	"github.com/deskstorm/deskstorm/runner/native"
)

// within says whether a probe's value is as the tolerance wants it, and if not, why. A value that a tolerance cannot be held
// against is not.
func (r *run) within(ctx context.Context, t *experiment.Tolerance, value any) (bool, string) {
	judged := value
	if m, ok := value.(map[string]any); ok && t.Target != "" {
		if v, ok := m[t.Target]; ok {
			judged = v
		}
	}
	var met bool
	var err error
	switch t.Type {
	case experiment.ToleranceScalar:
		met = scalar(r.values.Substitute(t.Value), value)
	case experiment.ToleranceList:
		met, err = list(t.Value.([]any), value)
	case experiment.ToleranceRegex:
		met, err = r.regex(t, judged)
	case experiment.ToleranceJSONPath:
		met, err = r.jsonPath(t, judged)
	case experiment.ToleranceRange:
		met, err = between(t, judged)
	case experiment.ToleranceProbe:
		met, err = r.toleranceProbe(ctx, t.Probe, value)
	}
	// What is hidden is hidden before anything is cut off: a half of a secret would not be found.
	switch {
	case err != nil:
		return false, "it found " + excerpt(r.values.HideIn(value)) + ": " + err.Error()
	case !met:
		return false, "it found " + excerpt(r.values.HideIn(value))
	}
	return true, ""
}

// excerptLength is as much of a value as a line of a report takes: what a login says of its failure fits.
const excerptLength = 400

// excerpt is a value as JSON, as far as a person reads it.
func excerpt(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return "a value that is no JSON"
	}
	if runes := []rune(string(text)); len(runes) > excerptLength {
		return string(runes[:excerptLength]) + "..."
	}
	return string(text)
}

// status returns the status that an HTTP answer or a process has.
func status(value any) (any, bool) {
	m, ok := value.(map[string]any)
	s, has := m["status"]
	return s, ok && has
}

func scalar(tolerance, value any) bool {
	switch t := tolerance.(type) {
	case []any:
		met, _ := list(t, value)
		return met
	case int64, uint64:
		if s, ok := status(value); ok {
			value = s
		}
	case float64: // as the toolkit: only what is substituted can be one, and nothing meets it
		return false
	}
	return equal(tolerance, value)
}

func list(tolerance []any, value any) (bool, error) {
	contains := func(value any) bool {
		return slices.ContainsFunc(tolerance, func(t any) bool { return equal(t, value) })
	}
	if s, ok := status(value); ok {
		return contains(s), nil
	}
	if len(tolerance) != 2 {
		return contains(value), nil
	}
	low, ok1 := compare(tolerance[0], value)
	high, ok2 := compare(value, tolerance[1])
	if !ok1 || !ok2 {
		return false, fmt.Errorf("expected a value that can be compared with %s, found another kind of value",
			experiment.Text(tolerance[0]))
	}
	return low <= 0 && high <= 0, nil
}

func (r *run) regex(t *experiment.Tolerance, value any) (bool, error) {
	text, ok := value.(string)
	if !ok {
		return false, errors.New("expected a text to search, found another kind of value")
	}
	pattern, err := r.pattern(t)
	if err != nil {
		return false, err
	}
	return pattern.MatchString(text), nil
}

func (r *run) pattern(t *experiment.Tolerance) (*regexp.Regexp, error) {
	return experiment.CompilePattern(experiment.Text(r.values.Substitute(t.Pattern)))
}

func (r *run) path(t *experiment.Tolerance) (*jsonpath.Path, error) {
	return jsonpath.Parse(experiment.Text(r.values.Substitute(t.Path)))
}

func (r *run) jsonPath(t *experiment.Tolerance, value any) (bool, error) {
	path, err := r.path(t)
	if err != nil {
		return false, err
	}
	if text, ok := value.(string); ok {
		if decoded, err := experiment.DecodeJSON([]byte(text)); err == nil {
			value = decoded
		}
	}
	found := path.SelectLocated(value)
	if text := path.String(); strings.Contains(text, "*") || strings.Contains(text, "..") {
		found.Sort() // what a wildcard finds in a mapping has no order of its own
	}
	values := slices.Collect(found.Nodes())
	if !t.Expected {
		if t.Count != nil {
			return len(values) == *t.Count, nil
		}
		return len(values) > 0, nil
	}
	expect := r.values.Substitute(t.Expect)
	want, ok := expect.([]any)
	if !ok {
		want = []any{expect}
	}
	return slices.EqualFunc(values, want, equal), nil
}

func between(t *experiment.Tolerance, value any) (bool, error) {
	var n float64
	switch v := value.(type) {
	case string:
		var err error
		if n, err = strconv.ParseFloat(strings.TrimSpace(v), 64); err != nil {
			return false, errors.New("expected a number, found another text")
		}
	default:
		var ok bool
		if n, ok = number(value); !ok {
			return false, errors.New("expected a number, found another kind of value")
		}
	}
	return t.Low <= n && n <= t.High, nil
}

// toleranceProbe runs a probe that judges a value, which it gets as its argument "value". It is met by an answer that Python
// calls true: an HTTP answer and the output of a process always are.
func (r *run) toleranceProbe(ctx context.Context, a *experiment.Activity, value any) (bool, error) {
	var answer any
	var err error
	switch {
	case a.Native != nil:
		arguments := r.arguments(a)
		arguments["value"] = value
		answer, err = r.native(ctx, a, arguments, false)
	case a.HTTP != nil:
		request := *a.HTTP
		given, _ := request.Arguments.(map[string]any)
		arguments := maps.Clone(given)
		if arguments == nil {
			arguments = map[string]any{}
		}
		arguments["value"] = value
		request.Arguments = arguments
		answer, err = r.http(ctx, &request)
	default:
		given, _ := a.Process.Arguments.([]any)
		answer, err = r.process(ctx, a.Process, append(slices.Clone(given), "value", value))
	}
	if err != nil {
		return false, err
	}
	return truth(answer), nil
}

// checkTolerance finds what is wrong with a tolerance after substitution.
func (r *run) checkTolerance(t *experiment.Tolerance) error {
	switch t.Type {
	case experiment.ToleranceRegex:
		_, err := r.pattern(t)
		return err
	case experiment.ToleranceJSONPath:
		_, err := r.path(t)
		return err
	case experiment.ToleranceProbe:
		if t.Probe.Native != nil {
			function, err := native.Find(r.Table, t.Probe.Native.Func, t.Probe.Kind)
			if err != nil {
				return err
			}
			arguments := r.arguments(t.Probe)
			arguments["value"] = "${value}"
			return function.Check(arguments)
		}
	}
	return nil
}

// number is a value as a number; Python counts true as 1.
func number(value any) (float64, bool) {
	switch v := value.(type) {
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	case uint64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// equal is Python's ==, of JSON's types.
func equal(a, b any) bool {
	switch x := a.(type) {
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, equal)
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for k, v := range x {
			if w, ok := y[k]; !ok || !equal(v, w) {
				return false
			}
		}
		return true
	}
	m, ok1 := number(a)
	n, ok2 := number(b)
	if ok1 && ok2 {
		return m == n
	}
	return reflect.DeepEqual(a, b)
}

// compare is Python's order, of numbers and of texts.
func compare(a, b any) (int, bool) {
	m, ok1 := number(a)
	n, ok2 := number(b)
	switch {
	case ok1 && ok2 && m < n:
		return -1, true
	case ok1 && ok2 && m > n:
		return 1, true
	case ok1 && ok2:
		return 0, true
	}
	s, ok1 := a.(string)
	t, ok2 := b.(string)
	return strings.Compare(s, t), ok1 && ok2
}

// truth is what Python calls true.
func truth(value any) bool {
	switch v := value.(type) {
	case nil:
		return false
	case string:
		return v != ""
	case []any:
		return len(v) > 0
	case map[string]any:
		return len(v) > 0
	}
	n, ok := number(value)
	return !ok || n != 0
}
