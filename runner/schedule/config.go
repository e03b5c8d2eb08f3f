package schedule

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/internal/wallclock"
)

// Config is the section "schedule".
type Config struct {
	Jobs []Job // in the file's order
}

// Limits of a job.
const (
	MaxJobs     = 500
	maxJitter   = 24 * time.Hour
	minDeadline = 10 * time.Second
	maxDeadline = 7 * 24 * time.Hour
)

// Read reads the section: a mapping of jobs by their names. The calendars that it names are read later, by New.
func Read(r *configfile.Reader, n ast.Node) Config {
	var c Config
	seen := map[string]bool{}
	r.Entries(n, func(key ast.MapKeyNode, name string, value ast.Node) {
		var checked string
		if r.Name(&checked)(key); checked == "" {
			return
		}
		if seen[name] {
			r.Wrong(key, "expected a name of its own for each job, found %q twice", name)
			return
		}
		seen[name] = true
		if len(c.Jobs) == MaxJobs {
			r.Wrong(key, "expected at most %d jobs", MaxJobs)
			return
		}
		c.Jobs = append(c.Jobs, readJob(r, name, value))
	})
	return c
}

func readJob(r *configfile.Reader, name string, n ast.Node) Job {
	j := Job{Name: name, Zone: time.UTC, Overlap: OverlapSkip, CatchUp: CatchUpNone}
	zones := map[string]*time.Location{}
	var cronNode, jitterNode, blackoutNode ast.Node
	r.Mapping(n, configfile.Keys{
		"experiment": readExperiment(r, &j),
		"cron": func(n ast.Node) {
			cronNode = n
			r.Text(&j.Cron)(n)
		},
		"timezone": readZone(r, &j.Zone),
		"jitter": func(n ast.Node) {
			jitterNode = n
			r.Duration(&j.Jitter, 0, maxJitter)(n)
		},
		"overlap": configfile.OneOf(r, &j.Overlap, OverlapSkip, OverlapQueue, OverlapReplace),
		"group":   r.Name(&j.Group),
		"blackout": func(n ast.Node) {
			blackoutNode = n
			r.List(func(n ast.Node) {
				var text string
				if r.Text(&text)(n); text == "" {
					return
				}
				w, err := parseWindow(text)
				if err != nil {
					r.Wrong(n, "%s", err)
					return
				}
				j.Blackout = append(j.Blackout, w)
			})(n)
		},
		"calendar": func(n ast.Node) {
			j.Calendar = &Calendar{Zones: zones}
			r.Path(&j.Calendar.Path)(n)
		},
		"calendar_zones": func(n ast.Node) {
			r.Entries(n, func(_ ast.MapKeyNode, name string, value ast.Node) {
				zone := time.UTC
				readZone(r, &zone)(value)
				zones[name] = zone
			})
		},
		"deadline":  readDeadline(r, &j.Deadline),
		"catch_up":  configfile.OneOf(r, &j.CatchUp, CatchUpNone, CatchUpLatest),
		"variables": readVariables(r, &j.Variables),
		"notify":    r.Texts(&j.Notify),
	}, "experiment", "cron")
	if j.Calendar != nil {
		j.Calendar.Zone = j.Zone
	}
	if j.Cron == "" {
		return j
	}
	var err error
	if j.timing, err = parseTiming(j.Cron, j.Zone); err != nil {
		r.Wrong(cronNode, "%s", err)
		return j
	}
	at := map[string]ast.Node{"cron": cronNode, "jitter": jitterNode, "blackout": blackoutNode}
	if key, message := validate(&j, time.Now()); key != "" {
		r.Wrong(at[key], "%s", message)
	}
	return j
}

// readExperiment reads a file's path, or the name of an experiment that is shipped.
func readExperiment(r *configfile.Reader, j *Job) func(ast.Node) {
	return func(n ast.Node) {
		text, ok := r.Scalar(n, "an experiment's file (.yaml, .yml or .json), or the name of one that is shipped")
		if !ok {
			return
		}
		lower := strings.ToLower(text)
		if strings.HasSuffix(lower, ".yaml") || strings.HasSuffix(lower, ".yml") || strings.HasSuffix(lower, ".json") {
			j.IsFile = true
			r.Path(&j.Experiment)(n)
			return
		}
		if strings.ContainsAny(text, `/\`) {
			r.Wrong(n, "expected an experiment's file (.yaml, .yml or .json), or the name of one that is shipped, found %s",
				configfile.Found(n))
			return
		}
		j.Experiment = text
	}
}

func readZone(r *configfile.Reader, to **time.Location) func(ast.Node) {
	return func(n ast.Node) {
		name, ok := r.Scalar(n, "a time zone")
		if !ok {
			return
		}
		zone, err := wallclock.LoadZone(name)
		if err != nil {
			r.Wrong(n, "%s", err)
			return
		}
		*to = zone
	}
}

// readDeadline reads a duration, or a time of day.
func readDeadline(r *configfile.Reader, to *Deadline) func(ast.Node) {
	return func(n ast.Node) {
		s, ok := n.(*ast.StringNode)
		if ok {
			if minutes, is := clock(s.Value); is && minutes < minutesOfDay {
				to.At = s.Value
				return
			}
			if d, err := time.ParseDuration(s.Value); err == nil && d >= minDeadline && d <= maxDeadline {
				to.After = d
				return
			}
		}
		r.Wrong(n, `expected a duration from %s to %dh, with its unit, or a time of day such as "06:00", in quotes; found %s`,
			minDeadline, int(maxDeadline.Hours()), configfile.Found(n))
	}
}

// readVariables reads texts, numbers and booleans by name.
func readVariables(r *configfile.Reader, to *map[string]any) func(ast.Node) {
	return func(n ast.Node) {
		*to = map[string]any{}
		r.Entries(n, func(_ ast.MapKeyNode, name string, value ast.Node) {
			switch v := value.(type) {
			case *ast.StringNode:
				(*to)[name] = v.Value
			case *ast.BoolNode:
				(*to)[name] = v.Value
			case *ast.FloatNode:
				(*to)[name] = v.Value
			case *ast.IntegerNode:
				switch i := v.Value.(type) {
				case int64:
					(*to)[name] = i
				case uint64:
					if i > math.MaxInt64 {
						r.Wrong(value, "expected a whole number of 64 bits, found a greater one")
						return
					}
					(*to)[name] = int64(i)
				}
			default:
				r.Wrong(value, "expected a text, a number, true or false, found %s", configfile.Found(value))
			}
		})
	}
}

// validate finds jobs that would never run, or not as they look. It returns the key that is wrong, if there is one.
func validate(j *Job, now time.Time) (key, message string) {
	first, ok := j.After(now)
	if !ok {
		return "cron", fmt.Sprintf("%q is never: no day in the next years is that", j.Cron)
	}
	if shortest := j.timing.shortest(); j.Jitter > shortest {
		return "jitter", fmt.Sprintf("expected at most %s, the time between two runs of %q, found %s", shortest, j.Cron, j.Jitter)
	}
	if len(j.Blackout) > 0 && j.alwaysDark(first) {
		return "blackout", fmt.Sprintf("the blackout covers each run of %q in the next year; nothing would ever run", j.Cron)
	}
	return "", ""
}

// alwaysDark says whether all occurrences of a year are in a blackout.
func (j *Job) alwaysDark(first Occurrence) bool {
	o, end := first, first.At.AddDate(1, 0, 7)
	for o.At.Before(end) {
		if _, dark := in(j.Blackout, o.Due, j.Zone); !dark {
			return false
		}
		// On to the end of the dark: a job of each minute has many occurrences in it.
		light, minutes := o.Due, 0
		for ; minutes <= 7*minutesOfDay; minutes++ {
			if _, dark := in(j.Blackout, light, j.Zone); !dark {
				break
			}
			light = light.Add(time.Minute)
		}
		if minutes > 7*minutesOfDay {
			return true
		}
		from := o.At
		if early := light.Add(-j.Jitter - time.Minute); early.After(from) {
			from = early
		}
		var ok bool
		if o, ok = j.After(from); !ok {
			return true
		}
	}
	return true
}

// Names are the jobs' names, sorted.
func (c Config) Names() []string {
	names := make([]string, len(c.Jobs))
	for i, j := range c.Jobs {
		names[i] = j.Name
	}
	slices.Sort(names)
	return names
}
