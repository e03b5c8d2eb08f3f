package probes

import (
	"strings"

	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/runner/native"
)

// verify returns what refuses a function whose sections the configuration lacks, or whose secrets cannot be read: that is no news of what
// the probe asks, and is better known before load and faults are there. Nobody is asked.
func (p *prober) verify(function string) func(native.Arguments) error {
	cloud := func(native.Arguments) error { _, err := p.newCloud(function, true); return err }
	switch {
	case function == "promql":
		return func(native.Arguments) error {
			c := p.Config.Prometheus
			if c == nil {
				return missing(function, prometheusSection)
			}
			return readable(c.Token, c.Password)
		}
	case function == "login":
		return p.verifyLogin
	case function == "broker.health":
		return func(native.Arguments) error {
			if p.Config.Broker == nil {
				return missing(function, brokerSection)
			}
			return readable(p.Config.Broker.OperatorToken)
		}
	case strings.HasPrefix(function, "amqp."):
		return func(a native.Arguments) error { _, err := p.target(function, a); return err }
	case function == "dhcp.renew", function == "leases":
		return func(a native.Arguments) error { _, err := p.network(function, a); return err }
	case function == "desktops.create":
		return func(a native.Arguments) error {
			if _, _, err := p.spec(a); err != nil {
				return err
			}
			return cloud(a)
		}
	case strings.HasPrefix(function, "cloud."), strings.HasPrefix(function, "desktops."):
		return cloud
	}
	return nil
}

func (p *prober) verifyLogin(a native.Arguments) error {
	if len(p.Config.Logins) == 0 {
		return missing("login", loginsSection)
	}
	who, err := named("login", p.Config.Logins, a.Text("login", ""), func(l Login) string { return l.Name })
	switch {
	case err != nil:
		return err
	case who.Cloud:
		_, err = p.newCloud("login", true)
	case p.Config.Broker == nil:
		err = missing("login", brokerSection)
	}
	if err != nil {
		return err
	}
	return readable(who.Password)
}

// readable says of secrets that are given whether they can be read.
func readable(secrets ...configfile.Secret) error {
	for _, s := range secrets {
		if !s.Given() {
			continue
		}
		if _, err := s.Read(); err != nil {
			return err
		}
	}
	return nil
}
