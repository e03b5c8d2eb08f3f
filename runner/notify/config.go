// Package notify tells people, and programs, what a run came to: by a webhook, by Slack or what is compatible with it, by e-mail. Not
// of each run: of so many in the last few, not again within a while, not more often than people read, and once when all is well
// again.
package notify

import (
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/runner/verdict"
)

// Config is the section notify of deskstorm.yaml.
type Config struct {
	// Page is the URL of the runner's page, for links; what is appended is /runs/ and the run's ID. Default: empty, no links.
	Page      string
	Receivers []Receiver // their names differ
}

// Receiver is who is told. Exactly one of Webhook, Slack and Email is set.
type Receiver struct {
	Name string
	When []verdict.Outcome // what is told of; default: deviated, failed, no-verdict
	Of   Of
	// Cooldown is how long after an alarm of an experiment no other alarm of it is sent, 0s to 31 days; default: 0.
	Cooldown time.Duration
	Most     Most
	Recover  bool // whether it is told, once, that a run passed after an alarm; default: true

	Webhook *Webhook
	Slack   *Slack
	Email   *Email
}

// Of is how many of an experiment's last runs must have come to one of When, this one among them.
type Of struct {
	Runs int // 1 to Last; default: 1
	Last int // 1 to 50; default: 1
}

// Most limits how many messages of an experiment are sent in a period, recoveries included.
type Most struct {
	Messages int           // 1 to 1000; default: 0, any
	In       time.Duration // 1m to 31 days
}

// Webhook is a URL that takes JSON by POST.
type Webhook struct {
	URL    configfile.Secret // with whatever token it has in it
	Secret configfile.Secret // of the signature; default: none, no signature
}

// Slack is an incoming webhook of Slack's, or of what is compatible with it (Mattermost, Rocket.Chat).
type Slack struct {
	URL configfile.Secret
}

// TLS is how a mail server is spoken to.
type TLS string

// The ways to speak to a mail server.
const (
	StartTLS    TLS = "starttls" // RFC 3207; refused by a server that does not offer it, nothing is sent
	ImplicitTLS TLS = "tls"      // RFC 8314, port 465
	NoTLS       TLS = "none"     // for a relay on the same machine
)

// Email is a mail server and who gets the mail.
type Email struct {
	Server   string            // host:port
	TLS      TLS               // default: StartTLS
	CAFile   string            // in PEM form; default: empty, the system's authorities
	User     string            // default: empty, nobody logs in
	Password configfile.Secret // there is one if there is a User
	From     string            // an address (RFC 5322), with or without a name
	To       []string          // at least one
}

const month = 31 * 24 * time.Hour

// Names are the receivers' names.
func (c Config) Names() []string {
	names := make([]string, len(c.Receivers))
	for i, r := range c.Receivers {
		names[i] = r.Name
	}
	return names
}

// Read reads the section notify.
func Read(r *configfile.Reader, n ast.Node) Config {
	var c Config
	r.Mapping(n, configfile.Keys{
		"page": r.Checked(&c.Page, "an http or https URL without user, query and fragment", isPage),
		"receivers": r.List(func(n ast.Node) {
			receiver := read(r, n)
			if receiver.Name != "" && slices.Contains(c.Names(), receiver.Name) {
				r.Wrong(n, "another receiver is called %q", receiver.Name)
			}
			c.Receivers = append(c.Receivers, receiver)
		}),
	}, "receivers")
	return c
}

func read(r *configfile.Reader, n ast.Node) Receiver {
	c := Receiver{Of: Of{1, 1}, Recover: true}
	kinds := 0
	kind := func(read func(ast.Node)) func(ast.Node) {
		return func(n ast.Node) {
			kinds++
			read(n)
		}
	}
	r.Mapping(n, configfile.Keys{
		"name": r.Name(&c.Name),
		"when": r.List(func(n ast.Node) {
			var o verdict.Outcome
			configfile.OneOf(r, &o, verdict.Passed, verdict.Deviated, verdict.NoVerdict, verdict.Failed)(n)
			c.When = append(c.When, o)
		}),
		"of": func(n ast.Node) {
			c.Of.Last = 0
			r.Mapping(n, configfile.Keys{"runs": r.Number(&c.Of.Runs, 1, 50), "last": r.Number(&c.Of.Last, 1, 50)}, "runs", "last")
			if c.Of.Last > 0 && c.Of.Runs > c.Of.Last {
				r.Wrong(n, "expected runs to be at most last, found %d and %d", c.Of.Runs, c.Of.Last)
			}
		},
		"cooldown": r.Duration(&c.Cooldown, 0, month),
		"most": func(n ast.Node) {
			r.Mapping(n, configfile.Keys{
				"messages": r.Number(&c.Most.Messages, 1, 1000), "in": r.Duration(&c.Most.In, time.Minute, month),
			}, "messages", "in")
		},
		"recovery": r.Boolean(&c.Recover),
		"webhook": kind(func(n ast.Node) {
			c.Webhook = &Webhook{}
			r.Mapping(n, configfile.Keys{"url": r.Secret(&c.Webhook.URL), "secret": r.Secret(&c.Webhook.Secret)}, "url")
		}),
		"slack": kind(func(n ast.Node) {
			c.Slack = &Slack{}
			r.Mapping(n, configfile.Keys{"url": r.Secret(&c.Slack.URL)}, "url")
		}),
		"email": kind(func(n ast.Node) { c.Email = readEmail(r, n) }),
	}, "name")
	if _, ok := n.(*ast.MappingNode); ok && kinds != 1 {
		r.Wrong(n, "expected exactly one of webhook, slack and email, found %d", kinds)
	}
	if len(c.When) == 0 {
		c.When = []verdict.Outcome{verdict.Deviated, verdict.Failed, verdict.NoVerdict}
	}
	return c
}

func readEmail(r *configfile.Reader, n ast.Node) *Email {
	e := &Email{TLS: StartTLS}
	isAddress := func(s string) bool { _, err := mail.ParseAddress(s); return err == nil }
	r.Mapping(n, configfile.Keys{
		"server":   r.Checked(&e.Server, "host:port", isServer),
		"tls":      configfile.OneOf(r, &e.TLS, StartTLS, ImplicitTLS, NoTLS),
		"ca_file":  r.Path(&e.CAFile),
		"user":     r.Text(&e.User),
		"password": r.Secret(&e.Password),
		"from":     r.Checked(&e.From, "an e-mail address", isAddress),
		"to": r.List(func(n ast.Node) {
			var to string
			r.Checked(&to, "an e-mail address", isAddress)(n)
			e.To = append(e.To, to)
		}),
	}, "server", "from", "to")
	switch {
	case (e.User != "") != e.Password.Given():
		r.Wrong(n, "expected user and password, or neither")
	case e.User != "" && e.TLS == NoTLS:
		r.Wrong(n, "expected tls: starttls or tls where somebody logs in: the password would cross the network in the clear")
	}
	return e
}

func isPage(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" &&
		u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

func isServer(s string) bool {
	host, port, err := net.SplitHostPort(s)
	n, numeric := strconv.Atoi(port)
	return err == nil && host != "" && numeric == nil && n > 0 && n < 1<<16
}
