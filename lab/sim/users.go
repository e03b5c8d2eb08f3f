package sim

import (
	"context"
	"crypto/subtle"
	"errors"

	"github.com/deskstorm/deskstorm/lab/sim/directory"
)

// StaticUsers are users with their passwords, by name.
type StaticUsers map[string]string

// Check implements Users.
func (s StaticUsers) Check(_ context.Context, _, name, password string) (User, error) {
	right, ok := s[name]
	if !ok || subtle.ConstantTimeCompare([]byte(right), []byte(password)) != 1 {
		return User{}, ErrWrongPassword
	}
	return User{Name: name}, nil
}

// String does not tell the passwords.
func (s StaticUsers) String() string { return "static users" }

// GoString does not either.
func (s StaticUsers) GoString() string { return "sim.StaticUsers{...}" }

// DirectoryUsers are the people of a simulated directory, asked without LDAP between: what makes the directory slow or down
// counts for Keystone too.
func DirectoryUsers(d *directory.Server) Users { return directoryUsers{d} }

type directoryUsers struct{ server *directory.Server }

func (u directoryUsers) Check(ctx context.Context, _, name, password string) (User, error) {
	err := u.server.Check(ctx, name, password)
	switch {
	case errors.Is(err, directory.ErrWrongPassword):
		return User{}, ErrWrongPassword
	case errors.Is(err, directory.ErrLocked):
		return User{}, ErrLocked
	case err != nil:
		return User{}, err
	}
	return User{Name: name}, nil
}
