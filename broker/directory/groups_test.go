package directory

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAncestryIsRememberedForAWhile(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	a := newAncestry(time.Minute, func() time.Time { return now })
	looks := 0
	of := func(dns ...string) string {
		var groups []group
		for _, dn := range dns {
			groups = append(groups, group{dn: dn})
		}
		names, err := a.of(groups, func() ([]string, error) {
			looks++
			return []string{fmt.Sprint(looks)}, nil
		})
		require.NoError(t, err)
		return names[0]
	}
	require.Equal(t, "1", of("cn=a", "cn=b"))
	require.Equal(t, "1", of("CN=b", "cn=a"))
	require.Equal(t, "2", of("cn=a"))
	now = now.Add(time.Minute - 1)
	require.Equal(t, "1", of("cn=a", "cn=b"))
	now = now.Add(1)
	require.Equal(t, "3", of("cn=a", "cn=b"))

	failure := errors.New("failed")
	_, err := a.of([]group{{dn: "cn=c"}}, func() ([]string, error) { return nil, failure })
	require.ErrorIs(t, err, failure)
	require.Equal(t, "4", of("cn=c"), "a failure is not remembered")
}

func TestAncestriesAreBounded(t *testing.T) {
	a := newAncestry(time.Minute, time.Now)
	for i := range 3 * maxAncestries {
		_, err := a.of([]group{{dn: fmt.Sprint(i)}}, func() ([]string, error) { return nil, nil })
		require.NoError(t, err)
		require.LessOrEqual(t, len(a.known), maxAncestries)
	}
}

func TestOrganizationalUnits(t *testing.T) {
	for dn, want := range map[string][]string{
		"":                                   nil,
		"uid=ann":                            nil,
		"uid=ann,ou=Night shift,OU=Sales":    {"Night shift", "Sales"},
		`cn=Ann\, B.,ou=Sales\, North,dc=a`:  {"Sales, North"},
		`uid=ann,ou=Sales\2c North,dc=a`:     {"Sales, North"},
		"uid=ann,ou=Vertrieb M\\c3\\bcnchen": {"Vertrieb München"},
		"uid=ann,cn=x,ou=a+l=Rome,o=b":       {"a"},
		"uid=ann,organizationalUnitName=a":   {"a"},
		"ou=itself,ou=above":                 {"above"},
	} {
		got, err := organizationalUnits(dn)
		require.NoError(t, err, dn)
		require.Equal(t, want, got, dn)
	}
	_, err := organizationalUnits("nonsense")
	require.Error(t, err)
}
