// Package folder writes what every lab has in its folder for those who use it: the broker's configuration, the people with
// their passwords and seats, and an environment that points scripts at the lab.
package folder

import (
	_ "embed"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"github.com/deskstorm/deskstorm/lab/sim/directory"
)

// The files' names. CloudsFile is written by the labs themselves.
const (
	CloudsFile      = "clouds.yaml"
	BrokerFile      = "broker.yaml"
	DatabaseFile    = "broker.db" // the broker's
	OperatorFile    = "operator-token"
	UsersFile       = "users.csv"
	EnvironmentFile = "environment" // for a shell to read

	ldapPasswordFile = "ldap-password"
)

//go:embed broker.yaml.tmpl
var brokerTemplate string

// Broker is what broker.yaml says, beside what is the same in all labs.
type Broker struct {
	Listen string // "127.0.0.1:0" if empty: a free port
	Cloud  string // of clouds.yaml
	LDAP   string // the directory's URL
	People directory.Config
	Token  string // the operators'

	Agents, Supervisors Share

	// 0: the usual value.
	Lease            time.Duration // of a session; 1 minute
	Wait             time.Duration // of a login for a desktop; 1 minute
	CheckEvery       time.Duration // between inspections of a pool; 15 s
	DirectoryTimeout time.Duration // of an operation; 3 s
}

// Write writes broker.yaml and the secrets that it names into a folder, and returns its path.
func (b Broker) Write(dir string) (string, error) {
	for name, secret := range map[string]string{OperatorFile: b.Token, ldapPasswordFile: b.People.ServicePassword} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(secret+"\n"), 0o600); err != nil {
			return "", err
		}
	}
	if b.Listen == "" {
		b.Listen = "127.0.0.1:0"
	}
	for of, usual := range map[*time.Duration]time.Duration{
		&b.Lease: time.Minute, &b.Wait: time.Minute, &b.CheckEvery: 15 * time.Second, &b.DirectoryTimeout: 3 * time.Second,
	} {
		if *of == 0 {
			*of = usual
		}
	}
	var text strings.Builder
	err := template.Must(template.New(BrokerFile).Parse(brokerTemplate)).Execute(&text, struct {
		Broker
		Database string
	}{b, filepath.Join(dir, DatabaseFile)})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, BrokerFile)
	return file, os.WriteFile(file, []byte(text.String()), 0o600)
}

// RemoveDatabase removes the broker's database: one of an earlier cloud knows desktops that this one has never had.
func RemoveDatabase(dir string) error {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.RemoveAll(filepath.Join(dir, DatabaseFile+suffix)); err != nil {
			return err
		}
	}
	return nil
}

// Share is a pool's part of the desktops.
type Share struct{ Ready, Max int }

// Boots is how many of them may boot at once: 16, in large pools each 25th, or filling them would take the longer the larger they are;
// and 100 at most, which keep the lab's machine busy.
func (s Share) Boots() int { return min(s.Max, max(16, min(s.Max/25, 100))) }

// Shares divides the desktops between agents and supervisors, who are each tenth person. Where there are no ten people, one
// desktop more may be built, for somebody who becomes a supervisor.
func Shares(users, desktops, ready int) (agents, supervisors Share) {
	n := min(users, desktops) / 10
	supervisors.Max = max(1, n)
	if n > 0 && ready > 0 {
		supervisors.Ready = max(1, ready*n/desktops)
	}
	agents.Max = desktops - n
	agents.Ready = min(ready-supervisors.Ready, agents.Max)
	return agents, supervisors
}

// WriteUsers writes the people and their seats, for scripts.
func WriteUsers(dir string, users []User) error {
	f, err := os.OpenFile(filepath.Join(dir, UsersFile), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	w := csv.NewWriter(f)
	rows := [][]string{{"user", "password", "seat", "site"}}
	for _, u := range users {
		rows = append(rows, []string{u.Name, u.Password, u.Seat, u.Site})
	}
	if err := w.WriteAll(rows); err != nil {
		return err
	}
	return f.Close()
}

// Environment is where a lab is, as NAME=VALUE, for scripts of package scenarios and for OpenStack's own tools. broker is its
// URL, cloud a name of clouds.yaml and domain the users' in Keystone.
func Environment(dir, broker, cloud, domain string) []string {
	return []string{
		"DESKSTORM_BROKER=" + broker,
		"DESKSTORM_USERS=" + filepath.Join(dir, UsersFile),
		"OS_CLIENT_CONFIG_FILE=" + filepath.Join(dir, CloudsFile),
		"OS_CLOUD=" + cloud,
		"DESKSTORM_DOMAIN=" + domain,
	}
}

// WriteEnvironment writes what a shell that has read it gives to scripts.
func WriteEnvironment(dir string, variables []string) error {
	var text strings.Builder
	for _, v := range variables {
		name, value, _ := strings.Cut(v, "=")
		fmt.Fprintf(&text, "export %s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`))
	}
	return os.WriteFile(filepath.Join(dir, EnvironmentFile), []byte(text.String()), 0o600)
}
