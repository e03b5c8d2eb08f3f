package debian

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// secrets are the lab's passwords, made once for each lab.
type secrets struct {
	Admin      string `json:"admin"`      // Keystone's administrator
	Service    string `json:"service"`    // the services' users in Keystone
	Database   string `json:"database"`   // MariaDB's user for the services
	Messages   string `json:"messages"`   // RabbitMQ's user for them
	Directory  string `json:"directory"`  // slapd's administrator
	Search     string `json:"search"`     // slapd's user that may search: Keystone's and the broker's
	MetadataIn string `json:"metadata"`   // what Neutron's metadata proxy and Nova would share
	Operator   string `json:"operator"`   // the broker's operators' token
	Cookie     string `json:"erl_cookie"` // Erlang's, of RabbitMQ and its tools
}

// String does not tell them.
func (secrets) String() string { return "the lab's secrets" }

// GoString does not either.
func (secrets) GoString() string { return "debian.secrets{...}" }

// The files in a lab's folder, beside the subfolders etc, var, run and log.
const (
	optionsFile = "lab.json"
	secretsFile = "secrets.json"
)

// loadSecrets reads the lab's passwords; a lab that has none gets them.
func (l *Lab) loadSecrets() error {
	file := l.path(secretsFile, nil)
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return l.makeSecrets(file)
	}
	if err == nil {
		err = json.Unmarshal(text, &l.secrets)
	}
	if err != nil {
		return fmt.Errorf("reading the lab's passwords: %w", err)
	}
	l.people.ServicePassword = l.secrets.Search
	return nil
}

func (l *Lab) makeSecrets(file string) error {
	for _, secret := range []*string{
		&l.secrets.Admin, &l.secrets.Service, &l.secrets.Database, &l.secrets.Messages, &l.secrets.Directory, &l.secrets.Search,
		&l.secrets.MetadataIn, &l.secrets.Operator, &l.secrets.Cookie,
	} {
		*secret = rand.Text()
	}
	l.people.ServicePassword = l.secrets.Search
	text, err := json.MarshalIndent(l.secrets, "", "  ")
	if err == nil {
		err = os.WriteFile(file, append(text, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("writing the lab's passwords: %w", err)
	}
	return nil
}
