package directory

import (
	"fmt"
	"slices"
	"strings"
)

// User returns a person as the directory has them now.
func (s *Server) User(name string) (User, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	u, found := s.users[strings.ToLower(name)]
	if !found {
		return User{}, false
	}
	result := *u
	result.OUs, result.Groups = slices.Clone(u.OUs), slices.Clone(u.Groups)
	return result, true
}

// Lock locks an account, or unlocks it.
func (s *Server) Lock(name string, locked bool) error {
	return s.change(name, func(u *User) error { u.Locked = locked; return nil })
}

// SetPassword gives somebody another password.
func (s *Server) SetPassword(name, password string) error {
	return s.change(name, func(u *User) error {
		if password == "" {
			return fmt.Errorf("user %q: a password is needed", name)
		}
		u.Password = password
		return nil
	})
}

// SetGroups puts somebody into these groups and no others.
func (s *Server) SetGroups(name string, groups ...string) error {
	return s.change(name, func(u *User) error {
		for _, g := range groups {
			if s.tree.entries[key(s.config.groupDN(g))] == nil {
				return fmt.Errorf("user %q: there is no group %q", name, g)
			}
		}
		dn := s.config.UserDN(u.Name, u.OUs)
		s.changeMembers(u.Groups, dn, "")
		s.changeMembers(groups, "", dn)
		u.Groups = slices.Clone(groups)
		return nil
	})
}

// Move moves somebody to other organizational units, innermost first.
func (s *Server) Move(name string, ous ...string) error {
	return s.change(name, func(u *User) error {
		from, to := s.config.UserDN(u.Name, u.OUs), s.config.UserDN(u.Name, ous)
		s.tree.remove(s.tree.entries[key(from)])
		s.tree.addOUs(s.config, ous)
		s.tree.add(userEntry(to, u.Name))
		s.changeMembers(u.Groups, from, to)
		u.OUs = slices.Clone(ous)
		return nil
	})
}

func (s *Server) change(name string, change func(*User) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, found := s.users[strings.ToLower(name)]
	if !found {
		return fmt.Errorf("there is no user %q", name)
	}
	return change(u)
}

// changeMembers replaces a member of groups; an empty DN is none.
func (s *Server) changeMembers(groups []string, from, to string) {
	for _, name := range groups {
		g := s.tree.entries[key(s.config.groupDN(name))]
		members := slices.DeleteFunc(slices.Clone(g.get("member").values), func(dn string) bool { return dn == from || dn == to })
		if to != "" {
			members = append(members, to)
		}
		s.tree.replace(g, g.with(newAttribute("member", members...)))
	}
}
