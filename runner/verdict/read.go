package verdict

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/deskstorm/deskstorm/internal/configfile"
)

// ExtensionName is the name of the experiment's extension that holds the objectives.
const ExtensionName = "deskstorm"

// Parse reads the objectives of an experiment's extension, as package experiment keeps it. The name of the file begins its errors;
// their lines are those of the extension alone.
func Parse(extension json.RawMessage, file string) (Objectives, error) {
	r, root := configfile.Parse(extension, file, "the extension "+ExtensionName)
	if root == nil {
		return Objectives{}, r.Err()
	}
	o := Read(r, root)
	return o, r.Err()
}

// Read reads an experiment's extension "deskstorm", a mapping, strictly.
func Read(r *configfile.Reader, n ast.Node) Objectives {
	var o Objectives
	var name string
	keys := sections(r, &o)
	keys["name"] = configfile.OneOf(r, &name, ExtensionName)
	r.Mapping(n, keys)
	return o
}

// ReadDefaults reads the section verdict of deskstorm.yaml: what holds for experiments that say nothing else.
func ReadDefaults(r *configfile.Reader, n ast.Node) Objectives {
	var o Objectives
	r.Mapping(n, sections(r, &o))
	return o
}

func sections(r *configfile.Reader, o *Objectives) configfile.Keys {
	names := map[string]bool{}
	return configfile.Keys{
		"window": func(n ast.Node) { readWindow(r, n, &o.Window) },
		"objectives": r.List(func(n ast.Node) {
			objective := readObjective(r, n)
			if name := objective.name(); objective.Metric != "" && names[name] {
				r.Wrong(n, "another objective is called %q; give one of them a name of its own", name)
			} else {
				names[name] = true
			}
			o.List = append(o.List, objective)
		}),
		"regression": func(n ast.Node) {
			r.Mapping(n, configfile.Keys{
				"mode":         configfile.OneOf(r, &o.Regression.Mode, ModeJudge, ModeTell, ModeOff),
				"nights":       r.Number(&o.Regression.Nights, minNights, 60),
				"at_least":     share(r, &o.Regression.AtLeast, 0.01, 10),
				"false_alarms": share(r, &o.Regression.FalseAlarms, 0.0001, 0.2),
			})
		},
		"sites": func(n ast.Node) {
			r.Mapping(n, configfile.Keys{
				"mode":     configfile.OneOf(r, &o.Sites.Mode, ModeJudge, ModeTell, ModeOff),
				"at_least": share(r, &o.Sites.AtLeast, 0.01, 10),
				"except":   r.Texts(&o.Sites.Except),
			})
		},
		"harness": func(n ast.Node) {
			r.Mapping(n, configfile.Keys{
				"dropped":    share(r, &o.Harness.Dropped, 0.0001, 1),
				"cpu":        share(r, &o.Harness.CPU, 0.01, 1),
				"clock_jump": r.Duration(&o.Harness.ClockJump, time.Millisecond, time.Hour),
			})
		},
	}
}

const day = 24 * time.Hour

func readWindow(r *configfile.Reader, n ast.Node, w *Window) {
	r.Mapping(n, configfile.Keys{
		"from":   r.Duration(&w.From, 0, day),
		"until":  r.Duration(&w.Until, time.Second, day),
		"faults": configfile.OneOf(r, &w.Faults, IncludeFaults, ExcludeFaults, OnlyFaults),
		"settle": r.Duration(&w.Settle, 0, day),
	})
	if w.Until > 0 && w.Until <= w.From {
		r.Wrong(n, "expected until to be after from, found %s and %s", w.Until, w.From)
	}
}

func readObjective(r *configfile.Reader, n ast.Node) Objective {
	var o Objective
	metric := regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]{0,127}$`)
	r.Mapping(n, configfile.Keys{
		"name":       r.Text(&o.Name),
		"metric":     r.Checked(&o.Metric, "a metric's name, such as vdi_login_duration", metric.MatchString),
		"step":       r.Text(&o.Step),
		"site":       r.Text(&o.Site),
		"path":       r.Text(&o.Path),
		"profile":    r.Text(&o.Profile),
		"per":        per(r, &o),
		"percentile": percentile(r, &o.Percentile),
		// The least is above a histogram's microsecond, the greatest is the longest duration that it tells apart.
		"below":       r.Duration(&o.Below, 10*time.Microsecond, time.Hour),
		"at_most":     share(r, &o.AtMost, 0, 1),
		"min_samples": r.Number(&o.MinSamples, 1, 1_000_000_000),
		"window": func(n ast.Node) {
			o.Window = &Window{}
			readWindow(r, n, o.Window)
		},
	}, "metric")
	m, ok := n.(*ast.MappingNode)
	if !ok {
		return o
	}
	has := func(key string) bool { return r.Has(m.GetPath() + "." + key) }
	switch percentile, below, budget := has("percentile"), has("below"), has("at_most"); {
	case budget && (percentile || below):
		r.Wrong(n, "expected percentile and below, or at_most, found both")
	case !budget && !(percentile && below):
		r.Wrong(n, "expected percentile and below, or at_most")
	}
	if o.Site != "" && o.PerSite {
		r.Wrong(n, "expected site or per: site, found both")
	}
	if o.Step != "" && o.PerStep {
		r.Wrong(n, "expected step or per: step, found both")
	}
	return o
}

// per reads "site", "step", or a list of both.
func per(r *configfile.Reader, o *Objective) func(ast.Node) {
	one := func(n ast.Node) {
		var what string
		configfile.OneOf(r, &what, "site", "step")(n)
		o.PerSite = o.PerSite || what == "site"
		o.PerStep = o.PerStep || what == "step"
	}
	return func(n ast.Node) {
		if _, ok := n.(*ast.SequenceNode); ok {
			r.List(one)(n)
			return
		}
		one(n)
	}
}

func percentile(r *configfile.Reader, to *float64) func(ast.Node) {
	return func(n ast.Node) {
		v, ok := number(n)
		if !ok || !(v > 0 && v <= 99.999) {
			r.Wrong(n, "expected a number above 0, up to 99.999, found %s", configfile.Found(n))
			return
		}
		*to = v
	}
}

func number(n ast.Node) (float64, bool) {
	switch n := n.(type) {
	case *ast.IntegerNode:
		v, err := strconv.ParseFloat(n.GetToken().Value, 64)
		return v, err == nil
	case *ast.FloatNode:
		return n.Value, !math.IsNaN(n.Value)
	}
	return 0, false
}

// share reads "1 %" or "0.5%". A bare number is refused: of 1 nobody knows whether it is all, or a hundredth.
func share(r *configfile.Reader, to *float64, low, high float64) func(ast.Node) {
	expected := fmt.Sprintf(`a share from %s to %s, such as "%s"`, Share.Format(low), Share.Format(high), Share.Format(max(low, 0.01)))
	return func(n ast.Node) {
		s, ok := n.(*ast.StringNode)
		if !ok {
			r.Wrong(n, "expected %s, found %s", expected, configfile.Found(n))
			return
		}
		text, isShare := strings.CutSuffix(s.Value, "%")
		v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		v /= 100
		if !isShare || err != nil || !(v >= low && v <= high) {
			r.Wrong(n, "expected %s, found %s", expected, configfile.Found(n))
			return
		}
		*to = v
	}
}
