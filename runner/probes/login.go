package probes

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/broker/client/console"
	"github.com/deskstorm/deskstorm/broker/client/openstack"
	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/internal/authority"
	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/spice"
)

// logoutTimeout bounds a logout, which goes on when the run has ended.
const logoutTimeout = 10 * time.Second

func (p *prober) login() []native.Function {
	return []native.Function{{
		Name: "login", Kind: native.Probe,
		Doc: "Logs somebody in, opens the desktop until the first picture has come, and logs out: ok, timings_ms, and what failed where.",
		Parameters: []native.Parameter{
			{Name: "login", Type: native.Text, Doc: "which of the configuration's logins; absent: the only one"},
			{Name: "type", Type: native.Boolean, Doc: "whether to type a key too, and wait until it is seen (timings_ms.visible); absent: no"},
		},
		Run: p.runLogin,
	}}
}

// visit is what came of a login.
type visit struct {
	OK      bool               `json:"ok"`
	Kind    string             `json:"kind,omitempty"`  // of the failure, as of vdi_login_failed's class
	Step    string             `json:"step,omitempty"`  // where it failed
	Error   string             `json:"error,omitempty"` // for people
	Desktop string             `json:"desktop,omitempty"`
	Pool    string             `json:"pool,omitempty"`
	Timings map[string]float64 `json:"timings_ms"`
}

func (p *prober) runLogin(ctx context.Context, a native.Arguments) (any, error) {
	if len(p.Config.Logins) == 0 {
		return nil, missing("login", loginsSection)
	}
	who, err := named("login", p.Config.Logins, a.Text("login", ""), func(l Login) string { return l.Name })
	if err != nil {
		return nil, err
	}
	password, err := who.Password.Read()
	if err != nil {
		return nil, err
	}
	v := visit{Timings: map[string]float64{}}
	begin := time.Now()
	driver, err := p.way(ctx, who)
	if err == nil {
		defer driver.Close()
		begin = time.Now() // that the service account logs in is not the user's time
		err = v.run(ctx, driver, who, password, a.Boolean("type", false))
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("logging %s in: %w", who.User, context.Cause(ctx))
	}
	var config configurationError
	if errors.As(err, &config) {
		return nil, config.error
	}
	if err != nil {
		delete(v.Timings, "total") // a login that failed at once is no fast one
		v.Timings["in_vain"] = milliseconds(time.Since(begin))
		v.Kind, v.Step, v.Error = console.Kind(err), console.Step(err), err.Error()
		return v, nil
	}
	v.OK = true
	return v, nil
}

// way is the driver of a login.
func (p *prober) way(ctx context.Context, who Login) (client.Driver, error) {
	if !who.Cloud {
		config := p.Config.Broker
		if config == nil {
			return nil, configurationError{missing("login", brokerSection)}
		}
		bc := client.BrokerConfig{URL: config.URL, Timeout: who.Timeout}
		if config.CA != "" {
			roots, err := authority.Read(config.CA)
			if err != nil {
				return nil, configurationError{err}
			}
			bc.TLS = &tls.Config{RootCAs: roots}
		}
		return client.NewBroker(bc), nil
	}
	if p.Config.Cloud == nil {
		return nil, configurationError{missing("login", cloudSection)}
	}
	config, err := cloud.LoadFile(p.Config.Cloud.File, p.Config.Cloud.Name)
	if err != nil {
		return nil, configurationError{err}
	}
	consoles, err := who.consoles()
	if err != nil {
		return nil, configurationError{err}
	}
	return openstack.New(ctx, openstack.Config{Cloud: config, Domain: who.Domain, Consoles: consoles})
}

// consoles are a cloud's ways to consoles. Libvirt comes first where it is named: Nova knows of no tickets.
func (l Login) consoles() (func(*cloud.Cloud) console.Finder, error) {
	var finders []console.Finder
	if l.Libvirt != "" {
		libvirt, err := console.NewLibvirt(console.LibvirtConfig{Connect: console.ConnectTo(l.Libvirt)})
		if err != nil {
			return nil, fmt.Errorf("libvirt: %w", err)
		}
		finders = append(finders, libvirt)
	}
	var ca string
	if l.CA != "" {
		text, err := os.ReadFile(l.CA)
		if err != nil {
			return nil, fmt.Errorf("reading the desktops' authority: %w", err)
		}
		ca = string(text)
	}
	return func(service *cloud.Cloud) console.Finder {
		all := append(finders[:len(finders):len(finders)], console.SpiceDirect(service), console.SpiceHTML5(service))
		return console.Trust(console.First(all...), ca, l.Subject)
	}, nil
}

// run is the login, from the password to the picture. Whatever happens, nobody stays logged in for longer than a logout takes, or the
// session's lease.
func (v *visit) run(ctx context.Context, driver client.Driver, who Login, password string, types bool) (err error) {
	login, cancel := context.WithTimeout(ctx, who.Timeout)
	defer cancel()
	begin := time.Now()
	session, err := driver.Login(login, client.Login{
		User: who.User, Password: password, Seat: who.Seat, Site: who.Site, ThinClient: who.ThinClient, Tags: who.Tags,
	})
	if err != nil {
		if failed := (*client.Error)(nil); errors.As(err, &failed) {
			v.steps(failed.Steps)
		}
		return err
	}
	defer func() {
		leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), logoutTimeout)
		defer cancel()
		if left := driver.Logout(leaving, session); left != nil {
			err = errors.Join(err, fmt.Errorf("logging out: %w", left))
		}
	}()
	v.Timings["login"] = milliseconds(time.Since(begin))
	v.Desktop, v.Pool = session.Desktop.Name, session.Desktop.Pool
	v.steps(session.Steps)
	connecting, cancelConnect := context.WithTimeout(ctx, who.Timeout)
	defer cancelConnect()
	begin = time.Now()
	desk, err := console.Open(connecting, session.Console, spice.Config{})
	if err != nil {
		return err
	}
	defer desk.Close()
	v.Timings["connect"] = milliseconds(time.Since(begin))
	v.Timings["total"] = v.Timings["login"] + v.Timings["connect"]
	t := desk.Timings()
	for name, took := range map[string]time.Duration{"link": t.Link, "ticket": t.Auth, "main": t.Main, "picture": t.Picture} {
		v.Timings[name] = milliseconds(took)
	}
	if !types {
		return nil
	}
	took, err := desk.RoundTrip(connecting, spice.VisibleTrip)
	if err != nil {
		return fmt.Errorf("typing a key: %w", err)
	}
	v.Timings["visible"] = milliseconds(took)
	return nil
}

func (v *visit) steps(steps []client.Timing) {
	for _, s := range steps {
		v.Timings[string(s.Step)] = milliseconds(s.Took)
	}
}
