package allocator_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker/allocator"
	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/broker/directory"
	"github.com/deskstorm/deskstorm/broker/store"
)

// rules is a call centre's: the order that they are written in is not the order that they are asked in.
func rules() []allocator.Allocator {
	return []allocator.Allocator{
		{Name: "agents", Priority: 30, Match: allocator.Match{Groups: []string{"Agents", "Team Leads"}}, Pool: "standard", Bind: store.BindUser},
		{Name: "kiosk", Priority: 10, Match: allocator.Match{Seats: []string{"N2-*", "S1-0[0-9]"}, Sites: []string{"north", "south"}}, Pool: "kiosk", Bind: store.BindSeat},
		{Name: "night", Priority: 20, Match: allocator.Match{OUs: []string{"Night  shift"}, Tags: map[string]string{"screens": "2", "kind": "x"}}, Pool: "large", Bind: store.BindSession},
		{Name: "any seat", Priority: 40, Match: allocator.Match{Seats: []string{"*"}}, Pool: "kiosk", Bind: store.BindSeat},
		{Name: "boxes", Priority: 25, Match: allocator.Match{Sites: []string{"west"}}, Pool: "boxes", Bind: store.BindThinClient},
	}
}

func TestChoose(t *testing.T) {
	def := &allocator.Allocator{Name: "default", Pool: "spare", Bind: store.BindSession}
	night := map[string]string{"screens": "2", "kind": "x", "more": "y"}
	for _, test := range []struct {
		name  string
		user  directory.User
		login client.Login
		want  string
	}{
		{"nothing known", directory.User{}, client.Login{}, "default"},
		{"a group", directory.User{Groups: []string{"x", "Agents"}}, client.Login{}, "agents"},
		{"the other group, case and spaces aside", directory.User{Groups: []string{" team   LEADS "}}, client.Login{}, "agents"},
		{"part of a group's name", directory.User{Groups: []string{"Agents North"}}, client.Login{}, "default"},
		{"a group where an OU is wanted", directory.User{Groups: []string{"Night shift"}}, client.Login{Tags: night}, "default"},
		{"OU and both tags", directory.User{OUs: []string{"NIGHT shift", "Sales"}}, client.Login{Tags: night}, "night"},
		{"OU and one tag", directory.User{OUs: []string{"Night shift"}}, client.Login{Tags: map[string]string{"screens": "2"}}, "default"},
		{"OU and another tag's value", directory.User{OUs: []string{"Night shift"}},
			client.Login{Tags: map[string]string{"screens": "2", "kind": "X"}}, "default"},
		{"tags without the OU", directory.User{}, client.Login{Tags: night}, "default"},
		{"seat and site", directory.User{}, client.Login{Seat: "N2-117", Site: "north"}, "kiosk"},
		{"a range of seats", directory.User{}, client.Login{Seat: "S1-07", Site: "south"}, "kiosk"},
		{"seat beyond the range", directory.User{}, client.Login{Seat: "S1-17", Site: "south"}, "any seat"},
		{"a seat's case", directory.User{}, client.Login{Seat: "n2-117", Site: "north"}, "any seat"},
		{"a seat at the wrong site", directory.User{}, client.Login{Seat: "N2-117", Site: "east"}, "any seat"},
		{"a site's case", directory.User{}, client.Login{Seat: "N2-117", Site: "North"}, "any seat"},
		{"a site without a seat", directory.User{}, client.Login{Site: "north"}, "default"},
		{"the lower priority first", directory.User{Groups: []string{"agents"}}, client.Login{Seat: "N2-1", Site: "north"}, "kiosk"},
		{"binding to a thin client", directory.User{}, client.Login{Site: "west", ThinClient: "52:54:00:00:00:01"}, "boxes"},
		{"no thin client to bind to", directory.User{}, client.Login{Site: "west"}, "default"},
	} {
		t.Run(test.name, func(t *testing.T) {
			set, err := allocator.New(rules(), def)
			require.NoError(t, err)
			r := allocator.Request{User: test.user, Login: test.login}
			got, ok := set.Choose(r)
			require.True(t, ok)
			require.Equal(t, test.want, got.Name)

			// What is explained must be what is chosen.
			serving := ""
			for i, reason := range set.Explain(r) {
				require.NotEmpty(t, reason.Why)
				require.Equal(t, []string{"kiosk", "night", "boxes", "agents", "any seat", "default"}[i], reason.Allocator)
				if reason.Serves {
					require.Empty(t, serving, "two serve")
					serving = reason.Allocator
				}
			}
			require.Equal(t, got.Name, serving)
		})
	}
}

func TestChooseNone(t *testing.T) {
	set, err := allocator.New(rules(), nil)
	require.NoError(t, err)
	_, ok := set.Choose(allocator.Request{})
	require.False(t, ok, "no default")

	set, err = allocator.New(nil, &allocator.Allocator{Name: "default", Pool: "p", Bind: store.BindSeat})
	require.NoError(t, err)
	_, ok = set.Choose(allocator.Request{})
	require.False(t, ok, "a default that binds to a seat does not serve who has none")
	_, ok = set.Choose(allocator.Request{Login: client.Login{Seat: "N1"}})
	require.True(t, ok)
}

func TestLettersWithOneCapital(t *testing.T) {
	set, err := allocator.New([]allocator.Allocator{{
		Name: "a", Match: allocator.Match{Groups: []string{"ΠΩΛΗΣΕΙΣ"}}, Pool: "p", Bind: store.BindUser,
	}}, nil)
	require.NoError(t, err)
	_, ok := set.Choose(allocator.Request{User: directory.User{Groups: []string{"πωλησεις"}}})
	require.True(t, ok)
}

// TestNewKeepsNothing changes what was given to New, and what Choose returned.
func TestNewKeepsNothing(t *testing.T) {
	given := rules()
	set, err := allocator.New(given, nil)
	require.NoError(t, err)
	r := allocator.Request{Login: client.Login{Seat: "N2-1", Site: "north"}}
	given[1].Match.Seats[0], given[1].Match.Sites[0] = "none", "none"
	given[1].Pool = "other"
	got, ok := set.Choose(r)
	require.True(t, ok)
	require.Equal(t, "kiosk", got.Name)
	require.Equal(t, "kiosk", got.Pool)
}

func TestExplain(t *testing.T) {
	set, err := allocator.New(rules(), &allocator.Allocator{Name: "default", Pool: "p", Bind: store.BindUser})
	require.NoError(t, err)
	var got []string
	for _, reason := range set.Explain(allocator.Request{
		User:  directory.User{Groups: []string{"secret project", "agents"}},
		Login: client.Login{Password: "hunter2", Seat: "N2-1", Site: "west", Tags: map[string]string{"kind": "y\n"}},
	}) {
		got = append(got, reason.String())
	}
	require.Equal(t, []string{
		`kiosk does not match: wants site "north" or "south", has "west"`,
		`night does not match: wants OU "Night  shift"; wants tag "kind" being "x", has "y\n"; wants tag "screens" being "2", has none`,
		`boxes does not match: wants a thin client to bind to, has none`,
		`agents serves: group "Agents" or "Team Leads"`,
		`any seat matches too, later: seat "*", a seat to bind to`,
		`default matches too, later: everybody`,
	}, got)
}

func TestNewMistakes(t *testing.T) {
	good := func() allocator.Allocator {
		return allocator.Allocator{Name: "a", Priority: 1, Match: allocator.Match{Groups: []string{"g"}}, Pool: "p", Bind: store.BindUser}
	}
	with := func(change func(*allocator.Allocator)) []allocator.Allocator {
		a := good()
		change(&a)
		return []allocator.Allocator{a}
	}
	same := func(change func(*allocator.Allocator)) []allocator.Allocator {
		b := good()
		b.Name, b.Priority = "b", 2
		change(&b)
		return []allocator.Allocator{good(), b}
	}
	def := func(change func(*allocator.Allocator)) *allocator.Allocator {
		d := good()
		d.Name, d.Match = "default", allocator.Match{}
		change(&d)
		return &d
	}
	for _, test := range []struct {
		name  string
		rules []allocator.Allocator
		def   *allocator.Allocator
		rule  int
		field string
		text  string
	}{
		{name: "nothing at all", rule: -1, text: "no allocators and no default"},
		{name: "name", rules: with(func(a *allocator.Allocator) { a.Name = "" }), field: "name", text: "empty"},
		{name: "pool", rules: with(func(a *allocator.Allocator) { a.Pool = "" }), field: "pool", text: "empty"},
		{name: "bind", rules: with(func(a *allocator.Allocator) { a.Bind = "desk" }), field: "bind", text: `"desk", must be user, seat`},
		{name: "no condition", rules: with(func(a *allocator.Allocator) { a.Match.Groups = nil }), field: "match", text: "the default"},
		{name: "empty group", rules: with(func(a *allocator.Allocator) { a.Match.Groups = []string{"g", " "} }), field: "match.group[1]", text: "empty"},
		{name: "empty tag", rules: with(func(a *allocator.Allocator) { a.Match.Tags = map[string]string{"k": ""} }), field: "match.tag.k", text: "value"},
		{name: "pattern", rules: with(func(a *allocator.Allocator) { a.Match.Seats = []string{"N*", "N[1"} }), field: "match.seat[1]", text: `"N[1" is no pattern`},
		{name: "pattern behind a literal", rules: with(func(a *allocator.Allocator) { a.Match.Seats = []string{"abc[]d"} }), field: "match.seat[0]", text: `no pattern`},
		{name: "same name", rules: same(func(a *allocator.Allocator) { a.Name = "a" }), rule: 1, field: "name", text: "allocator 1's too"},
		{name: "same priority", rules: same(func(a *allocator.Allocator) { a.Priority = 1 }), rule: 1, field: "priority", text: `1 is allocator 1's too ("a")`},
		{name: "default's match", def: def(func(a *allocator.Allocator) { a.Match.Sites = []string{"x"} }), rule: -1, field: "match", text: "everybody"},
		{name: "default's bind", def: def(func(a *allocator.Allocator) { a.Bind = "" }), rule: -1, field: "bind", text: "must be"},
		{name: "default's name", rules: same(func(a *allocator.Allocator) { a.Name = "default" }),
			def: def(func(*allocator.Allocator) {}), rule: -1, field: "name", text: "allocator 2's too"},
	} {
		t.Run(test.name, func(t *testing.T) {
			set, err := allocator.New(test.rules, test.def)
			require.Nil(t, set)
			var mistake *allocator.RuleError
			require.ErrorAs(t, err, &mistake)
			require.Equal(t, test.rule, mistake.Rule)
			require.Equal(t, test.field, mistake.Field)
			require.ErrorContains(t, err, test.text)
			require.Len(t, joined(err), 1, "one mistake, one error: %v", err)
		})
	}

	t.Run("all at once", func(t *testing.T) {
		_, err := allocator.New(with(func(a *allocator.Allocator) { a.Pool, a.Bind = "", "" }),
			def(func(a *allocator.Allocator) { a.Pool = "" }))
		require.Len(t, joined(err), 3)
	})
}

func joined(err error) []error {
	var j interface{ Unwrap() []error }
	if !errors.As(err, &j) {
		return nil
	}
	return j.Unwrap()
}
