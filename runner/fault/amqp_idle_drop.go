package fault

import (
	"context"
	"fmt"
	"time"

	"github.com/deskstorm/deskstorm/runner/native"
)

// shortestIdle and longestIdle bound after how long a session is forgotten.
const (
	shortestIdle = time.Second
	longestIdle  = 24 * time.Hour
)

// idleFlows is how many sessions the firewall remembers at once, each of some 100 bytes.
const idleFlows = 65536

func amqpIdleDrop() kind {
	return kind{
		name: "amqp.idle_drop", doc: "a firewall forgets TCP sessions that were idle, and drops their packets without a word",
		parameters: []native.Parameter{
			{Name: "address", Type: native.Text, Doc: "the broker's IP address, or a prefix; any if absent"},
			{Name: "port", Type: native.Integer, Doc: "the broker's port; 5672 if absent"},
			{Name: "after", Type: native.Duration, Doc: "the idle time after which a session is forgotten, 1s or more; 30s if absent"},
		},
		host: func(ctx context.Context, r *request) error {
			t, err := r.traffic(amqpPort)
			if err != nil {
				return err
			}
			after := r.Duration("after", 30*time.Second).Round(time.Millisecond)
			if after < shortestIdle || after > longestIdle {
				return native.Wrong("after", "expected %s to %s", shortestIdle, longestIdle)
			}
			if after >= r.For {
				return native.Wrong("after", "no session is forgotten after %s in a fault that is for %s", after, r.For)
			}
			r.whats("TCP sessions to %s that are idle for %s are forgotten: their packets are dropped", t.service(), after)
			return r.filters(ctx, idleFirewall(t, after))
		},
	}
}

// service is the traffic's service in words.
func (t traffic) service() string {
	if t.address.IsValid() {
		return fmt.Sprintf("%s:%d", showAddress(t.address), t.port)
	}
	return fmt.Sprintf("port %d", t.port)
}

// idleFirewall remembers sessions in a set of its own and not by the kernel's connection tracking, whose time-outs cannot be changed
// for sessions that exist, or only for all of the host's. A session that exists when the fault begins is learned when it says
// something before it is forgotten; the one that does not was idle for too long.
func idleFirewall(t traffic, after time.Duration) string {
	ms := fmt.Sprintf("%dms", after.Milliseconds())
	body := fmt.Sprintf("\tset learning {\n\t\ttype inet_proto; flags timeout;\n\t\telements = { tcp timeout %s }\n\t}\n", ms)
	var remember, known string
	for _, family := range []struct{ header, name string }{{"ip", "4"}, {"ip6", "6"}} {
		if t.address.IsValid() && t.address.Addr().Is4() != (family.name == "4") {
			continue
		}
		body += fmt.Sprintf("\tset known%s {\n\t\ttype ipv%s_addr . inet_service . ipv%s_addr . inet_service\n"+
			"\t\tflags dynamic,timeout; timeout %s; size %d\n\t}\n", family.name, family.name, family.name, ms, idleFlows)
		// The client's end comes first, whichever way the packet goes.
		h := family.header
		out := fmt.Sprintf("%s saddr . tcp sport . %s daddr . tcp dport", h, h)
		back := fmt.Sprintf("%s daddr . tcp dport . %s saddr . tcp sport", h, h)
		for _, way := range []struct{ side, key string }{{"dport", out}, {"sport", back}} {
			remember += fmt.Sprintf("\t\ttcp %s %d update @known%s { %s } accept\n", way.side, t.port, family.name, way.key)
			known += fmt.Sprintf("\t\ttcp %s %d %s @known%s goto remember\n", way.side, t.port, way.key, family.name)
		}
	}
	body += "\tchain remember {\n" + remember + "\t}\n"
	body += "\tchain session {\n\t\ttcp flags & (fin|syn|rst|ack) == syn goto remember\n" + known +
		"\t\tmeta l4proto @learning goto remember\n\t\tcounter drop\n\t}\n"
	// Where both directions of a session have the same addresses, also across NAT.
	for _, hook := range []string{"input", "forward", "output"} {
		body += fmt.Sprintf("\tchain %s {\n\t\ttype filter hook %s priority -10; policy accept;\n", hook, hook)
		for _, match := range t.matches() {
			body += "\t\t" + match + "goto session\n"
		}
		body += "\t}\n"
	}
	return body
}
