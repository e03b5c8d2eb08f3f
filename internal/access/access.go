// Package access is how exporters and experiments reach OpenStack and its message broker: the sections that several of them have in
// their configurations.
package access

import (
	"crypto/tls"

	"github.com/goccy/go-yaml/ast"

	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/cloud/notification"
	"github.com/deskstorm/deskstorm/internal/authority"
	"github.com/deskstorm/deskstorm/internal/configfile"
)

// Cloud is OpenStack, as an administrator: only they see all projects, services and agents.
type Cloud struct {
	Name string // in clouds.yaml; default: empty, that of OS_CLOUD, or the OS_* variables
	File string // clouds.yaml's path; default: empty, where OpenStack's tools look for it
}

// ReadCloud reads the section `cloud`.
func ReadCloud(r *configfile.Reader, n ast.Node) (c Cloud) {
	r.Mapping(n, configfile.Keys{"name": r.Text(&c.Name), "file": r.Path(&c.File)})
	return c
}

// Lazy reads the credentials, and logs in when first needed.
func (c Cloud) Lazy() (*cloud.Lazy, error) {
	credentials, err := cloud.LoadFile(c.File, c.Name)
	if err != nil {
		return nil, err
	}
	return cloud.NewLazy(credentials, cloud.Connect), nil
}

// Notifications is the message broker that the services' notifications go to.
type Notifications struct {
	URL       configfile.Secret // amqp:// or amqps://user:password@host:port/vhost
	CAFile    string            // of amqps, in PEM form; default: empty, the system's
	Exchanges []string          // the services' control_exchange
	Topic     string            // default: "notifications"; Nova's versioned ones are of "versioned_notifications"
}

// ReadNotifications reads the section `notifications`; exchanges are those that are listened to if it names none.
func ReadNotifications(r *configfile.Reader, n ast.Node, exchanges ...string) *Notifications {
	to := &Notifications{Topic: "notifications"}
	r.Mapping(n, configfile.Keys{
		"url": r.Secret(&to.URL), "ca_file": r.Path(&to.CAFile), "exchanges": r.Texts(&to.Exchanges), "topic": r.Text(&to.Topic),
	}, "url")
	if to.Exchanges == nil {
		to.Exchanges = exchanges
	}
	return to
}

// Listener makes the listener of an exporter, to messages of these priorities ("error"), or of all ("*"). It reads the secret and the
// authority's file, and connects to nobody.
func (n Notifications) Listener(exporter string, priorities ...string) (notification.Listener, error) {
	url, err := n.URL.Read()
	if err != nil {
		return notification.Listener{}, err
	}
	l := notification.Listener{URL: url, Exchanges: n.Exchanges, Name: "deskstorm-exporter " + exporter}
	for _, p := range priorities {
		l.Keys = append(l.Keys, n.Topic+"."+p)
	}
	if n.CAFile != "" {
		roots, err := authority.Read(n.CAFile)
		if err != nil {
			return notification.Listener{}, err
		}
		l.TLS = &tls.Config{RootCAs: roots}
	}
	return l, l.Check()
}
