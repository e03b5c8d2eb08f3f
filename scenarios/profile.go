package scenarios

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// Profile says how a person works: a round of activities drawn by weight, each
// followed by a pause for thought.
type Profile struct {
	// Name is the profile's file name without .yaml.
	Name        string `yaml:"-"`
	Description string `yaml:"description"`
	// Sources say where the figures come from.
	Sources []string `yaml:"sources"`
	// WPM is the typing speed in words of five keys a minute.
	WPM float64 `yaml:"wpm"`
	// ProbeEvery is the interval of the three round trips while working.
	ProbeEvery time.Duration `yaml:"probe_every"`
	// Vocabulary is what is typed, one word at a time.
	Vocabulary []string `yaml:"vocabulary"`
	// Activities are drawn by weight.
	Activities []Activity `yaml:"activities"`
}

// Activity is one thing a person does: typing some words, moving the mouse, or
// nothing but thinking.
type Activity struct {
	Name   string  `yaml:"name"`
	Weight float64 `yaml:"weight"`
	// Words is how many words are typed, evenly between both.
	Words Range `yaml:"words"`
	// End is the key that ends the words: enter, tab or none.
	End string `yaml:"end"`
	// Moves is how many mouse motions are made, at 50 a second, and Click
	// whether they end in a click.
	Moves Range `yaml:"moves"`
	Click bool  `yaml:"click"`
	// Think is the pause after it.
	Think Think `yaml:"think"`
}

// Range is a whole number from Min to Max, both included.
type Range struct {
	Min int `yaml:"min"`
	Max int `yaml:"max"`
}

// Think is a log-normal pause, given by the value that half of the pauses stay
// below and the one that 95 % stay below.
type Think struct {
	Median time.Duration `yaml:"median"`
	P95    time.Duration `yaml:"p95"`
}

// ErrNoProfile is returned for a profile that is not there.
var ErrNoProfile = errors.New("no such workload profile")

// ProfileNames are the names of the built-in profiles, sorted.
func ProfileNames() []string {
	files, err := fs.Glob(profiles, "profiles/*.yaml")
	if err != nil {
		panic(err) // The pattern is a constant.
	}
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = strings.TrimSuffix(path.Base(f), ".yaml")
	}
	slices.Sort(names)
	return names
}

// LoadProfile returns a built-in profile. An unknown name is ErrNoProfile.
func LoadProfile(name string) (Profile, error) {
	if !slices.Contains(ProfileNames(), name) {
		return Profile{}, fmt.Errorf("%w: %q; there are %s", ErrNoProfile, name, strings.Join(ProfileNames(), ", "))
	}
	b, err := profiles.ReadFile("profiles/" + name + ".yaml")
	if err != nil {
		return Profile{}, err
	}
	return ParseProfile(b, name)
}

// ParseProfile reads a profile strictly: unknown keys and impossible values are
// errors that give line and column.
func ParseProfile(b []byte, name string) (Profile, error) {
	p := Profile{Name: name}
	if err := yaml.NewDecoder(bytes.NewReader(b), yaml.Strict()).Decode(&p); err != nil {
		return Profile{}, fmt.Errorf("workload profile %s: %w", name, err)
	}
	if err := p.check(); err != nil {
		return Profile{}, fmt.Errorf("workload profile %s: %w", name, err)
	}
	return p, nil
}

func (p *Profile) check() error {
	switch {
	case p.WPM <= 0 || p.WPM > 1000:
		return fmt.Errorf("wpm is %v, must be above 0 and at most 1000", p.WPM)
	case p.ProbeEvery != 0 && p.ProbeEvery < 5*time.Second:
		return fmt.Errorf("probe_every is %v, must be at least 5s, or 0 for no probes", p.ProbeEvery)
	case len(p.Activities) == 0:
		return errors.New("no activities")
	case len(p.Sources) == 0:
		return errors.New("no sources: say where the figures come from")
	}
	for i, a := range p.Activities {
		if err := a.check(); err != nil {
			return fmt.Errorf("activity %d (%s): %w", i+1, a.Name, err)
		}
		if a.Words.Max > 0 && len(p.Vocabulary) == 0 {
			return fmt.Errorf("activity %d (%s) types words, but there is no vocabulary", i+1, a.Name)
		}
	}
	return nil
}

func (a *Activity) check() error {
	switch {
	case a.Name == "":
		return errors.New("no name")
	case a.Weight <= 0:
		return fmt.Errorf("weight is %v, must be above 0", a.Weight)
	case !a.Words.valid() || !a.Moves.valid():
		return errors.New("a range must have 0 <= min <= max <= 10000")
	case !slices.Contains([]string{"", "none", "enter", "tab"}, a.End):
		return fmt.Errorf("end is %q, must be enter, tab or none", a.End)
	case a.Think.Median <= 0 || a.Think.P95 < a.Think.Median:
		return errors.New("think needs a median above 0 and a p95 that is not below it")
	}
	return nil
}

func (r Range) valid() bool { return 0 <= r.Min && r.Min <= r.Max && r.Max <= 10000 }
