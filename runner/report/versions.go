package report

import (
	"maps"
	"slices"
	"strings"
)

// version is that of one thing under test.
type version struct {
	Name, Version string
	Was           string // on the last night, if it was another
}

// versions are those of what was under test, by name.
func (r Report) versions() []version {
	var list []version
	var before map[string]string
	if n := len(r.Nights); n > 0 {
		before = r.Nights[n-1].Versions
	}
	for _, name := range slices.SortedFunc(maps.Keys(r.Run.Versions), strings.Compare) {
		v := version{Name: name, Version: r.Run.Versions[name]}
		if was, ok := before[name]; ok && was != v.Version {
			v.Was = was
		}
		list = append(list, v)
	}
	return list
}
