package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Secret says where a secret is. It never holds the secret itself, so that it may be printed. The zero Secret is none.
type Secret struct {
	File string // its path
	Env  string // the environment variable's name

	plain  string // a database's DSN without a password, which the file may spell out
	origin string // where the configuration names it, for errors
}

// maxSecret is far above any password, token or cloud-init script; it ends the reading of a device.
const maxSecret = 1 << 20

// Given says whether there is a secret.
func (s Secret) Given() bool { return s.File != "" || s.Env != "" || s.plain != "" }

// Read returns the secret, without one newline at its end. An empty one is an error, and so is one that is not given.
func (s Secret) Read() (string, error) {
	if s.plain != "" {
		return s.plain, nil
	}
	value, err := s.read()
	if err != nil && s.origin != "" {
		return "", fmt.Errorf("reading the secret %s: %w", s.origin, err)
	}
	if err != nil {
		return "", fmt.Errorf("reading a secret: %w", err)
	}
	return value, nil
}

func (s Secret) read() (string, error) {
	switch {
	case s.File != "":
		f, err := os.Open(s.File)
		if err != nil {
			return "", err
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
		if err != nil {
			return "", err
		}
		if len(b) > maxSecret {
			return "", fmt.Errorf("the file %s has more than %d bytes", s.File, maxSecret)
		}
		value := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
		if value == "" {
			return "", fmt.Errorf("the file %s is empty; write the secret into it", s.File)
		}
		return value, nil
	case s.Env != "":
		value, ok := os.LookupEnv(s.Env)
		if !ok {
			return "", fmt.Errorf("the environment variable %s is not set", s.Env)
		}
		if value == "" {
			return "", fmt.Errorf("the environment variable %s is empty", s.Env)
		}
		return value, nil
	}
	return "", errors.New("none is given")
}

// String says where the secret is.
func (s Secret) String() string {
	switch {
	case s.File != "":
		return "file " + s.File
	case s.Env != "":
		return "environment variable " + s.Env
	case s.plain != "":
		return "in the configuration"
	}
	return "none"
}

// GoString is what %#v prints.
func (s Secret) GoString() string { return "config.Secret(" + s.String() + ")" }

// MarshalText is what JSON and YAML show.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
