package up

import (
	"crypto/rand"
	_ "embed"
	"encoding/csv"
	"fmt"
	"os"
	"strings"
	"text/template"
	"time"

	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/lab/sim/directory"
)

// The files in the cloud's folder, beside clouds.yaml and the broker's database.
const (
	brokerFile      = "broker.yaml"
	usersFile       = "users.csv"
	environmentFile = "environment" // for a shell to read
)

//go:embed broker.yaml.tmpl
var brokerTemplate string

// writeFiles writes what the broker and clients need, and returns the path of the broker's configuration.
func (c *Cloud) writeFiles(people directory.Config, o Options) (string, error) {
	if _, err := c.Sim.WriteCloudsYAML(c.Dir); err != nil {
		return "", err
	}
	for name, secret := range map[string]string{"operator-token": rand.Text(), "ldap-password": people.ServicePassword} {
		if err := os.WriteFile(c.path(name), []byte(secret+"\n"), 0o600); err != nil {
			return "", err
		}
	}
	if err := c.writeUsers(); err != nil {
		return "", err
	}
	// A broker's earlier database knows desktops that this cloud has never had.
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.RemoveAll(c.path("broker.db" + suffix)); err != nil {
			return "", err
		}
	}
	var text strings.Builder
	of := func(d, otherwise time.Duration) time.Duration {
		if d == 0 {
			return otherwise
		}
		return d
	}
	agents, supervisors := o.shares()
	err := template.Must(template.New(brokerFile).Parse(brokerTemplate)).Execute(&text, map[string]any{
		"Database": c.path("broker.db"), "Cloud": sim.AdminCloud, "LDAP": c.Directory.URL, "BindDN": people.ServiceDN,
		"BaseDN": people.BaseDN, "GroupBase": people.GroupBase(), "Agents": agents, "Supervisors": supervisors,
		"Lease": of(o.Lease, time.Minute), "Wait": of(o.Wait, time.Minute), "CheckEvery": of(o.CheckEvery, 15*time.Second),
		"DirectoryTimeout": of(o.DirectoryTimeout, 3*time.Second),
	})
	if err != nil {
		return "", err
	}
	return c.path(brokerFile), os.WriteFile(c.path(brokerFile), []byte(text.String()), 0o600)
}

// share is a pool's part of the desktops.
type share struct{ Ready, Max int }

// Boots is how many of them may boot at once.
func (s share) Boots() int { return min(16, s.Max) }

// shares divides the desktops between agents and supervisors, who are each tenth person. Where there are no ten people, one
// desktop more may be built, for somebody who becomes a supervisor.
func (o Options) shares() (agents, supervisors share) {
	n := min(o.Users, o.Desktops) / 10
	supervisors.Max = max(1, n)
	if n > 0 && o.Ready > 0 {
		supervisors.Ready = max(1, o.Ready*n/o.Desktops)
	}
	agents.Max = o.Desktops - n
	agents.Ready = min(o.Ready-supervisors.Ready, agents.Max)
	return agents, supervisors
}

// writeUsers writes the people and their seats, for scripts.
func (c *Cloud) writeUsers() error {
	f, err := os.OpenFile(c.path(usersFile), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	w := csv.NewWriter(f)
	rows := [][]string{{"user", "password", "seat", "site"}}
	for _, u := range c.Users {
		rows = append(rows, []string{u.Name, u.Password, u.Seat, u.Site})
	}
	if err := w.WriteAll(rows); err != nil {
		return err
	}
	return f.Close()
}

// writeEnvironment writes what a shell that has read it gives to scripts.
func (c *Cloud) writeEnvironment() error {
	var text strings.Builder
	for _, v := range c.Environment() {
		name, value, _ := strings.Cut(v, "=")
		fmt.Fprintf(&text, "export %s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`))
	}
	return os.WriteFile(c.path(environmentFile), []byte(text.String()), 0o600)
}

// Environment is where the cloud is, as NAME=VALUE, for scripts of package scenarios and for OpenStack's own tools.
func (c *Cloud) Environment() []string {
	return []string{
		"DESKSTORM_BROKER=" + c.Broker,
		"DESKSTORM_USERS=" + c.path(usersFile),
		"OS_CLIENT_CONFIG_FILE=" + c.path("clouds.yaml"),
		"OS_CLOUD=" + sim.AdminCloud,
		"DESKSTORM_DOMAIN=" + sim.UsersDomain,
		"DESKSTORM_LAB=" + c.Control,
	}
}
