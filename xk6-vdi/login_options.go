package vdi

import (
	"errors"
	"fmt"
	"time"

	"github.com/grafana/sobek"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/internal/activity"
)

// defaultLoginTimeout bounds a login: it may wait until a desktop has booted.
const defaultLoginTimeout = time.Minute

// thinClientOptions are ThinClient's argument.
type thinClientOptions struct {
	way     way
	who     client.Login
	profile string
	report  reportTo // url is empty: nobody
}

func parseThinClient(rt *sobek.Runtime, v sobek.Value) (thinClientOptions, error) {
	o := thinClientOptions{way: way{timeout: defaultLoginTimeout}}
	f := fieldsOf(rt, v)
	f.way(&o.way)
	f.text("user", &o.who.User)
	f.text("password", &o.who.Password)
	f.text("seat", &o.who.Seat)
	f.text("id", &o.who.ThinClient)
	f.text("site", &o.who.Site)
	f.texts("tags", &o.who.Tags)
	f.text("profile", &o.profile)
	f.report(&o.report)
	if err := f.end(); err != nil {
		return o, err
	}
	switch {
	case o.way.path == "":
		return o, errors.New("needs broker or cloud")
	case o.who.User == "" || o.who.Password == "":
		// A directory takes an empty password for an anonymous login, which always succeeds (RFC 4513, 5.1.2).
		return o, errors.New("needs user and password")
	case o.report.url != "" && (!activity.ValidName(o.who.ThinClient) || o.who.Site == ""):
		return o, errors.New("report needs an id of letters, digits, dots, hyphens, underscores and colons, and a site")
	}
	if o.profile != "" {
		if _, err := loadProfile(o.profile); err != nil {
			return o, fmt.Errorf("profile: %w", err)
		}
	}
	return o, nil
}

// way reads broker, a URL or {url, ca, timeout}, or cloud: a name in
// clouds.yaml, true for the OS_ variables, or {name, domain, timeout}.
func (f *fields) way(to *way) {
	broker, hasBroker := f.take("broker")
	named, hasCloud := f.take("cloud")
	switch {
	case hasBroker && hasCloud:
		f.fail("broker", "and cloud are two ways: give one")
	case hasBroker:
		to.path = pathBroker
		f.broker(broker, to)
	case hasCloud:
		to.path = pathCloud
		f.cloud(named, to)
	}
}

// report reads {url, token, ca}: an exporter of active users.
func (f *fields) report(to *reportTo) {
	v, ok := f.take("report")
	if !ok {
		return
	}
	object, ok := v.(map[string]any)
	if !ok {
		f.fail("report", "must be {url, token, ca}")
		return
	}
	f.object("report", object, func(f *fields) {
		f.text("url", &to.url)
		f.text("token", &to.token)
		f.text("ca", &to.ca)
	})
	if _, err := activity.NewClient(to.url, to.token, nil); err != nil {
		f.fail("report", "cannot be used: %v", err)
	}
}

func (f *fields) broker(v any, to *way) {
	switch v := v.(type) {
	case string:
		to.url = v
	case map[string]any:
		f.object("broker", v, func(f *fields) {
			f.text("url", &to.url)
			f.text("ca", &to.ca)
			f.duration("timeout", &to.timeout)
		})
	default:
		f.fail("broker", "must be a URL or {url, ca, timeout}")
		return
	}
	if err := client.CheckURL(to.url); err != nil {
		f.fail("broker", "cannot be used: %v", err)
	}
}

func (f *fields) cloud(v any, to *way) {
	switch v := v.(type) {
	case bool:
		if !v {
			f.fail("cloud", "must be a cloud of clouds.yaml, or true for the OS_ variables")
		}
	case string:
		to.cloud = v
		if v == "" {
			f.fail("cloud", "must be a cloud of clouds.yaml, or true for the OS_ variables")
		}
	case map[string]any:
		f.object("cloud", v, func(f *fields) {
			f.text("name", &to.cloud)
			f.text("domain", &to.domain)
			f.duration("timeout", &to.timeout)
			f.text("libvirt", &to.libvirt)
			f.text("ca", &to.ca)
			f.text("subject", &to.subject)
		})
	default:
		f.fail("cloud", "must be a cloud of clouds.yaml, true for the OS_ variables, or {name, domain, timeout, libvirt, ca, subject}")
	}
}
