package demo

import (
	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/results"
	"github.com/deskstorm/deskstorm/spice"
)

// part is a piece of the time from the password to the first picture.
type part struct {
	metric, step string // that measure it
	name         string // for people; unlike step it is unique
	explained    string
}

// parts are all pieces in their order: they add up to what a person waits.
func parts(path string) []part {
	const login, connect = loginDuration, connectDuration
	explained := map[client.Step]string{
		client.StepAuth:     "LDAP: the password, the groups",
		client.StepMatch:    "which rule serves this person",
		client.StepAllocate: "a ready desktop becomes theirs",
		client.StepBoot:     "none is ready: one boots",
		client.StepConsole:  "Nova says where it listens",
	}
	rest := "the network, and between steps"
	if path == PathCloud {
		explained[client.StepAuth] = "Keystone: the password, a token"
		explained[client.StepMatch] = "Nova: the seat's own desktop"
		explained[client.StepAllocate] = "Nova: an idle one is taken"
		explained[client.StepBoot] = "if it was off, it boots"
		rest = "between steps"
	}
	var all []part
	for _, s := range []client.Step{client.StepAuth, client.StepMatch, client.StepAllocate, client.StepBoot, client.StepConsole} {
		all = append(all, part{login, string(s), string(s), explained[s]})
	}
	return append(all,
		part{login, "unaccounted", "rest", rest},
		part{connect, string(spice.StepLink), "link", "SPICE: TCP and link messages"},
		part{connect, string(spice.StepAuth), "ticket", "SPICE: the ticket"},
		part{connect, string(spice.StepMain), "main", "SPICE: until all channels open"},
		part{connect, string(spice.StepPicture), "picture", "SPICE: until the first drawing"},
	)
}

// total is the step of loginDuration that is all of it.
const total = "total"

// share is how much of the waiting was a part's.
type share struct {
	part
	took  *results.Aggregate // of those who had this part
	share float64            // of the sum of all parts, 0 to 1
}

// shares are all parts of the waiting that a set has measured.
func shares(set *results.Set, path string) []share {
	var all []share
	sum := 0.
	for _, p := range parts(path) {
		took := pick(set, p.metric, results.Trend, p.step, "")
		sum += took.Sum
		all = append(all, share{part: p, took: took})
	}
	for i := range all {
		if sum > 0 {
			all[i].share = all[i].took.Sum / sum
		}
	}
	return all
}

// longest is the part with the largest share, -1 if nothing was measured.
func longest(all []share) int {
	at := -1
	for i, s := range all {
		if s.share > 0 && (at < 0 || s.share > all[at].share) {
			at = i
		}
	}
	return at
}
