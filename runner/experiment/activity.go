package experiment

import (
	"math"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/deskstorm/deskstorm/internal/configfile"
)

// place is where an activity stands.
type place int

const (
	inHypothesis place = iota
	inMethod
	inRollbacks
	inTolerance
)

func (x *reader) activity(n ast.Node, where place) Activity {
	a := Activity{Line: configfile.Line(n)}
	if field(n, "ref") != nil {
		x.reference(n, where, &a)
		return a
	}
	known := configfile.Keys{
		"type":     configfile.OneOf(x.Reader, &a.Kind, Probe, Action),
		"name":     x.Text(&a.Name),
		"pauses":   func(n ast.Node) { x.pauses(n, &a) },
		"provider": func(ast.Node) {},
	}
	refused := refusals{
		"controls":      "is not supported: a control is Python that runs around activities; use a probe or an action instead",
		"timeout":       "the Chaos Toolkit does nothing with a timeout here; give the provider one",
		"dry":           "the Chaos Toolkit takes this as \"never dry\"; use --dry-run",
		"secrets":       "give the provider the names of groups, or leave this out: all secrets are substituted everywhere",
		"secret":        "leave this out: all secrets are substituted everywhere",
		"configuration": "leave this out: all of the configuration is substituted everywhere",
		"background":    "a probe of the hypothesis is waited for, so this would do nothing; leave it out",
	}
	required := []string{"type", "name", "provider"}
	switch where {
	case inHypothesis:
		known["type"] = x.probe(&a.Kind)
		known["tolerance"] = func(n ast.Node) { a.Tolerance = x.tolerance(n) }
		required = append(required, "tolerance")
	case inTolerance:
		known = configfile.Keys{"type": x.probe(&a.Kind), "name": x.Text(&a.Name), "provider": known["provider"]}
		required = []string{"type", "name", "provider"}
		refused["pauses"] = "a tolerance does not pause; leave it out"
		refused["tolerance"] = "a tolerance has none itself; leave it out"
	default:
		known["background"] = x.Boolean(&a.Background)
		known["tolerance"] = func(n ast.Node) { a.Tolerance = x.tolerance(n) }
	}
	x.mapping(n, known, refused, required...)
	if provider := field(n, "provider"); provider != nil {
		x.provider(provider, &a, where)
	}
	return a
}

func (x *reader) probe(to *Kind) func(ast.Node) {
	return func(n ast.Node) {
		if text, _ := x.text(n); text != string(Probe) {
			x.Wrong(n, "expected probe, because nothing may be changed here; found %s", configfile.Found(n))
			return
		}
		*to = Probe
	}
}

// reference reads an activity that stands elsewhere in the file, by its name: {ref: NAME}.
func (x *reader) reference(n ast.Node, where place, a *Activity) {
	known := configfile.Keys{"ref": x.Text(&a.Name)}
	var required []string
	switch where {
	case inHypothesis:
		known["tolerance"] = func(n ast.Node) { a.Tolerance = x.tolerance(n) }
		required = append(required, "tolerance")
	case inTolerance:
		x.Wrong(n, "a reference is not supported here; spell the probe out")
		return
	default:
		known["background"] = x.Boolean(&a.Background)
	}
	x.mapping(n, known, nil, required...)
	x.refs++
	a.ref = x.refs
	own := *a
	// Its place in the lists is known only when they are complete: they move while they grow.
	x.later = append(x.later, func() { x.resolve(n, where, own) })
}

func (x *reader) resolve(n ast.Node, where place, own Activity) {
	lists := [][]Activity{x.to.probes(), x.to.Method, x.to.Rollbacks}
	var found []Activity
	for _, list := range lists[:2] {
		for _, other := range list {
			if other.Name == own.Name && other.ref == 0 {
				found = append(found, other)
			}
		}
	}
	switch {
	case own.Name == "":
		return
	case len(found) == 0:
		x.Wrong(n, "there is no activity %q in the hypothesis or the method", own.Name)
		return
	case len(found) > 1:
		x.Wrong(n, "there are several activities %q; give them names of their own", own.Name)
		return
	case where == inHypothesis && found[0].Kind == Action:
		x.Wrong(n, "%q is an action; expected a probe, because nothing may be changed here", own.Name)
		return
	}
	target := found[0]
	target.Background, target.Tolerance, target.Line, target.ref = own.Background, own.Tolerance, own.Line, own.ref
	for _, list := range lists {
		for i := range list {
			if list[i].ref == own.ref {
				list[i] = target
			}
		}
	}
}

func (x *reader) pauses(n ast.Node, a *Activity) {
	pause := func(to *Pause) func(ast.Node) {
		return func(n ast.Node) {
			if text, ok := x.wholePlaceholder(n); ok {
				to.Var = text
				return
			}
			to.For = x.seconds(n)
		}
	}
	x.mapping(n, configfile.Keys{"before": pause(&a.Before), "after": pause(&a.After)}, nil)
}

// wholePlaceholder returns the text of "${name}".
func (x *reader) wholePlaceholder(n ast.Node) (string, bool) {
	text, _ := x.text(n)
	if m := placeholder.FindStringSubmatch(text); m == nil || m[0] != text || m[3] == "" {
		return "", false
	}
	x.substitutions(n)
	return text, true
}

// longest is the longest pause or timeout.
const longest = 366 * 24 * time.Hour

// seconds reads a time as the toolkit has it: a number.
func (x *reader) seconds(n ast.Node) time.Duration {
	s, ok := x.number(n)
	d, valid := Seconds(s)
	if !ok || !valid {
		x.Wrong(n, "expected a number of seconds, at most a year, found %s", configfile.Found(n))
		return 0
	}
	return d
}

// Seconds is a pause's or a timeout's value as a duration, if it is a number of at least 0 and at most a year.
func Seconds(value any) (time.Duration, bool) {
	var s float64
	switch v := value.(type) {
	case int:
		s = float64(v)
	case int64:
		s = float64(v)
	case uint64: // as YAML has whole numbers
		s = float64(v)
	case float64:
		s = v
	default:
		return 0, false
	}
	if math.IsNaN(s) || s < 0 || s > longest.Seconds() {
		return 0, false
	}
	return time.Duration(s * float64(time.Second)), true
}

func (x *reader) number(n ast.Node) (float64, bool) {
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
	default:
		return 0, false
	}
	switch v := x.Free(n).(type) {
	case int64:
		return float64(v), true
	case uint64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}
