package allocator

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/broker/store"
)

// rule is an allocator made ready to be asked.
type rule struct {
	allocator  Allocator
	conditions []condition
}

// condition is one thing that must hold.
type condition struct {
	want  string // for people, such as: group "agents" or "sales"
	holds func(facts) bool
	found func(facts) string // what the login has instead, for people; empty: nothing worth saying
}

// facts is a request with its directory names folded, once for all rules.
type facts struct {
	groups map[string]bool
	ous    map[string]bool
	login  client.Login
}

func factsOf(r Request) facts {
	return facts{groups: foldAll(r.User.Groups), ous: foldAll(r.User.OUs), login: r.Login}
}

func (r *rule) matches(f facts) bool {
	for _, c := range r.conditions {
		if !c.holds(f) {
			return false
		}
	}
	return true
}

func compile(a Allocator) rule {
	a.Match = Match{
		Groups: slices.Clone(a.Match.Groups), OUs: slices.Clone(a.Match.OUs), Tags: maps.Clone(a.Match.Tags),
		Seats: slices.Clone(a.Match.Seats), Sites: slices.Clone(a.Match.Sites),
	}
	r := rule{allocator: a}
	if len(a.Match.Groups) > 0 {
		r.conditions = append(r.conditions, named("group", a.Match.Groups, func(f facts) map[string]bool { return f.groups }))
	}
	if len(a.Match.OUs) > 0 {
		r.conditions = append(r.conditions, named("OU", a.Match.OUs, func(f facts) map[string]bool { return f.ous }))
	}
	for _, key := range slices.Sorted(maps.Keys(a.Match.Tags)) {
		r.conditions = append(r.conditions, tagged(key, a.Match.Tags[key]))
	}
	if len(a.Match.Seats) > 0 {
		r.conditions = append(r.conditions, seated(a.Match.Seats))
	}
	if len(a.Match.Sites) > 0 {
		r.conditions = append(r.conditions, sited(a.Match.Sites))
	}
	switch a.Bind {
	case store.BindSeat:
		r.conditions = append(r.conditions, condition{
			want:  "a seat to bind to",
			holds: func(f facts) bool { return f.login.Seat != "" },
			found: func(facts) string { return "none" },
		})
	case store.BindThinClient:
		r.conditions = append(r.conditions, condition{
			want:  "a thin client to bind to",
			holds: func(f facts) bool { return f.login.ThinClient != "" },
			found: func(facts) string { return "none" },
		})
	}
	return r
}

// named is a condition on names of the directory. What the user has instead is not said: it may be hundreds of groups.
func named(kind string, wanted []string, has func(facts) map[string]bool) condition {
	folded := foldAll(wanted)
	return condition{
		want: kind + " " + anyOf(wanted),
		holds: func(f facts) bool {
			names := has(f)
			for name := range folded {
				if names[name] {
					return true
				}
			}
			return false
		},
		found: func(facts) string { return "" },
	}
}

func tagged(key, value string) condition {
	return condition{
		want:  fmt.Sprintf("tag %q being %q", key, value),
		holds: func(f facts) bool { return f.login.Tags[key] == value },
		found: func(f facts) string { return given(f.login.Tags[key]) },
	}
}

func seated(patterns []string) condition {
	return condition{
		want: "seat " + anyOf(patterns),
		holds: func(f facts) bool {
			// "*" matches an empty text as well, but no seat is not any seat.
			return f.login.Seat != "" && slices.ContainsFunc(patterns, func(pattern string) bool {
				ok, _ := path.Match(pattern, f.login.Seat) // New has refused bad patterns
				return ok
			})
		},
		found: func(f facts) string { return given(f.login.Seat) },
	}
}

func sited(sites []string) condition {
	return condition{
		want:  "site " + anyOf(sites),
		holds: func(f facts) bool { return slices.Contains(sites, f.login.Site) },
		found: func(f facts) string { return given(f.login.Site) },
	}
}

func given(value string) string {
	if value == "" {
		return "none"
	}
	return fmt.Sprintf("%q", value)
}

func anyOf(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = fmt.Sprintf("%q", v)
	}
	return strings.Join(quoted, " or ")
}

func foldAll(names []string) map[string]bool {
	folded := make(map[string]bool, len(names))
	for _, name := range names {
		folded[fold(name)] = true
	}
	return folded
}

// fold prepares a name as RFC 4518 does for caseIgnoreMatch, without its Unicode normalization: directories give names
// normalized already, and two spellings of one letter are rare enough to be written the way the directory has them.
func fold(name string) string {
	// Lower alone would leave letters apart that have one capital, such as the two small sigmas.
	return strings.ToLower(strings.ToUpper(strings.Join(strings.Fields(name), " ")))
}
