package directory_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker/directory"
	sim "github.com/deskstorm/deskstorm/lab/sim/directory"
)

func TestLogin(t *testing.T) {
	c := content()
	var teams []string
	for i := range 25 {
		teams = append(teams, fmt.Sprintf("team%02d", i))
	}
	onBoth(t, 0, func(t *testing.T, config directory.Config) {
		for name, test := range map[string]struct {
			user, password string
			change         func(*directory.Config)
			want           directory.User
		}{
			"nested groups": {"agent0010", sim.Password("agent0010"), nil, directory.User{
				Name: "agent0010", OUs: []string{"Support", "N4"}, Groups: []string{"agents", "staff", "supervisors", "support"}}},
			"direct groups": {"agent0010", sim.Password("agent0010"), func(c *directory.Config) { c.Nested = false }, directory.User{
				Name: "agent0010", OUs: []string{"Support", "N4"}, Groups: []string{"supervisors", "support"}}},
			"groups that match a filter": {"agent0010", sim.Password("agent0010"),
				func(c *directory.Config) { c.GroupFilter = "(cn=s*)" }, directory.User{
					Name: "agent0010", OUs: []string{"Support", "N4"}, Groups: []string{"staff", "supervisors", "support"}}},
			"no group base": {"agent0010", sim.Password("agent0010"), func(c *directory.Config) { c.GroupBase = "" }, directory.User{
				Name: "agent0010", OUs: []string{"Support", "N4"}}},
			"groups in a circle, a comma, another spelling": {"ANN", "pass-ann", nil, directory.User{
				Name: "Ann", OUs: []string{"Sales, North", "N1"}, Groups: []string{"agents", "ring1", "ring2", "ring3", "sales", "staff"}}},
			"more groups than a page": {"many", "pass-many", func(c *directory.Config) { c.PageSize = 10 }, directory.User{
				Name: "many", Groups: teams}},
			"no groups": {"alone", "pass-alone", nil, directory.User{Name: "alone"}},
			"one connection": {"many", "pass-many", func(c *directory.Config) { c.MaxConns = 1; c.PageSize = 1 }, directory.User{
				Name: "many", Groups: teams}},
		} {
			t.Run(name, func(t *testing.T) {
				config := config
				if test.change != nil {
					test.change(&config)
				}
				dn, err := ldap.ParseDN(c.UserDN(test.want.Name, test.want.OUs))
				require.NoError(t, err)
				d := open(t, config)
				for range 2 { // connected newly, and on connections that others logged in on
					user, err := d.Login(t.Context(), test.user, test.password)
					require.NoError(t, err)
					got, err := ldap.ParseDN(user.DN)
					require.NoError(t, err)
					require.True(t, got.Equal(dn), "%s", user.DN) // directories escape differently
					user.DN = ""
					require.Equal(t, test.want, user)
					_, err = d.Login(t.Context(), "agent0001", sim.Password("agent0001"))
					require.NoError(t, err)
				}
			})
		}
	})
}

func TestRefusals(t *testing.T) {
	onBoth(t, 0, func(t *testing.T, config directory.Config) {
		d := open(t, config)
		const right = "pass-agent0001"
		for name, test := range map[string]struct {
			user, password string
			want           error
		}{
			"wrong password":              {"agent0011", "secret-1", directory.ErrWrongPassword},
			"another one's password":      {"agent0012", "pass-agent0002", directory.ErrWrongPassword},
			"nobody":                      {"nobody", "secret-2", directory.ErrWrongPassword},
			"locked":                      {"locked", "pass-locked", directory.ErrLocked},
			"locked, wrong password":      {"locked", "secret-3", directory.ErrLocked},
			"no user":                     {"", right, directory.ErrWrongPassword},
			"no password":                 {"agent0001", "", directory.ErrWrongPassword},
			"NUL as password":             {"agent0013", "\x00", directory.ErrWrongPassword},
			"password and NUL":            {"agent0014", "pass-agent0014\x00", directory.ErrWrongPassword},
			"wildcard":                    {"*", right, directory.ErrWrongPassword},
			"wildcard at the end":         {"agent000*", right, directory.ErrWrongPassword},
			"closing the filter":          {")(uid=*", right, directory.ErrWrongPassword},
			"closing the filter and NUL":  {"agent0001)(&)\x00", right, directory.ErrWrongPassword},
			"another filter":              {"x)(|(uid=agent0001", right, directory.ErrWrongPassword},
			"NUL":                         {"\x00", right, directory.ErrWrongPassword},
			"NUL at the end":              {"agent0001\x00", right, directory.ErrWrongPassword},
			"not UTF-8":                   {"agent0001\xff", right, directory.ErrWrongPassword},
			"backslash":                   {`agent0001\`, right, directory.ErrWrongPassword},
			"escaped":                     {`agent000\31`, right, directory.ErrWrongPassword},
			"format":                      {"%s", right, directory.ErrWrongPassword},
			"DN":                          {"uid=agent0001,ou=Sales,ou=N1,dc=callcenter,dc=example", right, directory.ErrWrongPassword},
			"service account":             {"broker", config.BindPassword, directory.ErrWrongPassword},
			"group":                       {"sales", right, directory.ErrWrongPassword},
			"too long a name":             {strings.Repeat("a", 1<<20), right, directory.ErrWrongPassword},
			"too long a password":         {"agent0001", strings.Repeat("a", 1<<20), directory.ErrWrongPassword},
			"as long as is asked for":     {strings.Repeat("a", 1024), strings.Repeat("b", 1024), directory.ErrWrongPassword},
			"as long, with much to quote": {strings.Repeat("\x00", 1024), strings.Repeat("b", 1024), directory.ErrWrongPassword},
		} {
			t.Run(name, func(t *testing.T) {
				user, err := d.Login(t.Context(), test.user, test.password)
				require.ErrorIs(t, err, test.want)
				require.Zero(t, user)
				for _, other := range []error{directory.ErrWrongPassword, directory.ErrLocked, directory.ErrDown, directory.ErrSlow} {
					require.Equal(t, other == test.want, errors.Is(err, other), "%v", err)
				}
				if test.password != "" && test.password != "\x00" {
					require.NotContains(t, err.Error(), test.password)
				}
				require.NotContains(t, err.Error(), config.BindPassword)
			})
		}
		_, nobody := d.Login(t.Context(), "nobody", "wrong")
		_, wrong := d.Login(t.Context(), "agent0003", "wrong")
		require.Equal(t, strings.ReplaceAll(wrong.Error(), "agent0003", "nobody"), nobody.Error(), "nobody can tell who exists")
		_, err := d.Login(t.Context(), "agent0002", sim.Password("agent0002"))
		require.NoError(t, err, "the directory still works")
	})
}

// TestLocksOut has OpenLDAP lock an account after too many attempts; asking after somebody who does not exist locks nobody.
func TestLocksOut(t *testing.T) {
	c := content()
	s := startSlapd(t, c, slapdPlain)
	d := open(t, configure(c, s.URL))
	for range 2 * maxFails {
		_, err := d.Login(t.Context(), "nobody", "wrong")
		require.ErrorIs(t, err, directory.ErrWrongPassword)
	}
	for range maxFails {
		_, err := d.Login(t.Context(), "agent0001", "wrong")
		require.ErrorIs(t, err, directory.ErrWrongPassword)
	}
	_, err := d.Login(t.Context(), "agent0001", sim.Password("agent0001"))
	require.ErrorIs(t, err, directory.ErrLocked)
	require.ErrorContains(t, err, "the account is locked")
	_, err = d.Login(t.Context(), "agent0002", sim.Password("agent0002"))
	require.NoError(t, err)
}

// TestConfigurationErrors has errors that are nobody's fault who logs in.
func TestConfigurationErrors(t *testing.T) {
	onBoth(t, 20, func(t *testing.T, config directory.Config) {
		for want, change := range map[string]func(*directory.Config){
			"several users match": func(c *directory.Config) { c.UserFilter = "(|(uid=%s)(uid=alone))" },
			"check UserName":      func(c *directory.Config) { c.UserName = "mail" },
			"several users":       func(c *directory.Config) { c.UserFilter = "(|(uid=%s)(objectClass=person))" },
			"does not exist":      func(c *directory.Config) { c.UserBase = "ou=nowhere," + c.UserBase },
			"limits searches":     func(c *directory.Config) {}, // many is in more groups
		} {
			t.Run(want, func(t *testing.T) {
				config := config
				change(&config)
				d := open(t, config)
				_, err := d.Login(t.Context(), "many", "pass-many")
				require.ErrorContains(t, err, want)
				for _, class := range []error{directory.ErrWrongPassword, directory.ErrLocked, directory.ErrDown, directory.ErrSlow} {
					require.NotErrorIs(t, err, class)
				}
				require.NotContains(t, err.Error(), "pass-many")
			})
		}
	})
}

func TestCheck(t *testing.T) {
	onBoth(t, 0, func(t *testing.T, config directory.Config) {
		require.NoError(t, open(t, config).Check(t.Context()))

		wrong := config
		wrong.BindPassword = "not-the-password"
		d := open(t, wrong)
		err := d.Check(t.Context())
		require.ErrorIs(t, err, directory.ErrDown)
		require.ErrorContains(t, err, "logging in the service account")
		require.NotContains(t, err.Error(), wrong.BindPassword)
		_, err = d.Login(t.Context(), "agent0001", sim.Password("agent0001"))
		require.ErrorIs(t, err, directory.ErrDown)
		require.NotErrorIs(t, err, directory.ErrWrongPassword)

		wrong = config
		wrong.GroupBase = "ou=nowhere," + config.UserBase
		err = open(t, wrong).Check(t.Context())
		require.ErrorContains(t, err, "looking at ou=nowhere,dc=callcenter,dc=example: it does not exist")
	})
}

func TestManyAtOnce(t *testing.T) {
	onBoth(t, 0, func(t *testing.T, config directory.Config) {
		config.MaxConns = 4
		d := open(t, config)
		var failed sync.Map
		var group sync.WaitGroup
		for i := range 200 {
			name := fmt.Sprintf("agent%04d", i%120+1)
			group.Go(func() {
				password, want := sim.Password(name), error(nil)
				if i%10 == 9 { // the right one in between lets nobody be locked out
					password, want = "wrong", directory.ErrWrongPassword
				}
				user, err := d.Login(t.Context(), name, password)
				if !errors.Is(err, want) || err == nil && (user.Name != name || !slices.Contains(user.Groups, "staff")) {
					failed.Store(i, fmt.Errorf("%s got %v: %w", name, user, err))
				}
			})
		}
		group.Wait()
		failed.Range(func(i, err any) bool { t.Errorf("login %v: %v", i, err); return true })
	})
}

// TestCostOfALogin counts what the directory is asked.
func TestCostOfALogin(t *testing.T) {
	c := content()
	s := startSim(t, c)
	config := configure(c, s.URL)
	config.GroupTTL = time.Hour
	d := open(t, config)
	login := func() {
		_, err := d.Login(t.Context(), "agent0010", sim.Password("agent0010"))
		require.NoError(t, err)
	}
	login() // connects, binds the service account, walks up the groups
	require.Equal(t, sim.Counts{Connections: 2, Binds: 2, Searches: 2 + 2}, s.Counts())
	login()
	require.Equal(t, sim.Counts{Connections: 2, Binds: 3, Searches: 2 + 2 + 2}, s.Counts(), "a search, a bind, a search")

	_, err := d.Login(t.Context(), "nobody", "wrong")
	require.Error(t, err)
	require.Equal(t, sim.Counts{Connections: 2, Binds: 4, Searches: 2 + 2 + 2 + 1}, s.Counts(), "as much as a wrong password")
	_, err = d.Login(t.Context(), "agent0010", "wrong")
	require.Error(t, err)
	require.Equal(t, sim.Counts{Connections: 2, Binds: 5, Searches: 2 + 2 + 2 + 2}, s.Counts())
	_, err = d.Login(t.Context(), "agent0010", "")
	require.Error(t, err)
	require.EqualValues(t, 5, s.Counts().Binds, "an empty password never reaches the directory")
}

func TestChangedAttributesCountAtTheNextLogin(t *testing.T) {
	c := content()
	s := startSim(t, c)
	config := configure(c, s.URL)
	config.GroupTTL = time.Hour
	d := open(t, config)
	login := func(password string) directory.User {
		user, err := d.Login(t.Context(), "agent0001", password)
		require.NoError(t, err)
		return user
	}
	before := login("pass-agent0001")
	require.Equal(t, []string{"agents", "sales", "staff"}, before.Groups)
	require.NoError(t, s.SetGroups("agent0001", "billing", "supervisors"))
	require.NoError(t, s.Move("agent0001", "Back office", "N7"))
	require.NoError(t, s.SetPassword("agent0001", "another"))
	require.Equal(t, directory.User{
		Name: "agent0001", DN: "uid=agent0001,ou=Back office,ou=N7," + c.BaseDN,
		OUs: []string{"Back office", "N7"}, Groups: []string{"agents", "billing", "staff", "supervisors"},
	}, login("another"))
}

// TestInChain has the directory find nested groups, as Active Directory does.
func TestInChain(t *testing.T) {
	c := content()
	s := startSim(t, c)
	config := configure(c, s.URL)
	config.InChain = true
	user, err := open(t, config).Login(t.Context(), "Ann", "pass-ann")
	require.NoError(t, err)
	require.Equal(t, []string{"agents", "ring1", "ring2", "ring3", "sales", "staff"}, user.Groups)
	require.EqualValues(t, 2, s.Counts().Searches)
}

// TestTooDeep has more levels of groups than anybody means.
func TestTooDeep(t *testing.T) {
	c := sim.Callcenter(1)
	for i := range 40 {
		c.Groups = append(c.Groups, sim.Group{Name: fmt.Sprint(i), Groups: []string{fmt.Sprint(i + 1)}})
	}
	c.Groups = append(c.Groups, sim.Group{Name: "40"})
	c.Users[0].Groups = []string{"20"}
	s := startSim(t, c)
	d := open(t, configure(c, s.URL))
	user, err := d.Login(t.Context(), "agent0001", sim.Password("agent0001"))
	require.NoError(t, err)
	require.Len(t, user.Groups, 21)
	require.NoError(t, s.SetGroups("agent0001", "0"))
	_, err = d.Login(t.Context(), "agent0001", sim.Password("agent0001"))
	require.ErrorContains(t, err, "nested more than 32 deep")
}
