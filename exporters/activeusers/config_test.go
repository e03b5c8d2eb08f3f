package activeusers

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/exporters/activeusers/roster"
	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/internal/wallclock"
)

func TestRead(t *testing.T) {
	r, n := configfile.Parse([]byte(`
secret: {file: activeusers.secret}
sites:
  - {name: N1, zone: Europe/Berlin}
  - {name: N2, zone: Asia/Shanghai}
departments: [sales, care]
inventory: clients.csv
rosters:
  - {file: roster.csv, zone: Europe/Berlin}
  - file: /srv/night.ics
    site: N2
    department: care
    zones: {W. Europe Standard Time: Europe/Berlin}
history: /var/lib/deskstorm/gaps
active_within: 2m
`), "/etc/deskstorm/deskstorm.yaml", "the exporter's configuration")
	c := Read(r, n)
	require.NoError(t, r.Err())
	shanghai, err := wallclock.LoadZone("Asia/Shanghai")
	require.NoError(t, err)
	want := Default()
	want.Secret = configfile.Secret{File: "/etc/deskstorm/activeusers.secret"}
	want.Sites = []Site{{"N1", berlin(t)}, {"N2", shanghai}}
	want.Departments = []string{"sales", "care"}
	want.Inventory = "/etc/deskstorm/clients.csv"
	want.Rosters = []roster.File{
		{Path: "/etc/deskstorm/roster.csv", Zone: berlin(t)},
		{
			Path: "/srv/night.ics", Site: "N2", Department: "care", Zone: time.UTC,
			Zones: map[string]*time.Location{"W. Europe Standard Time": berlin(t)},
		},
	}
	want.History, want.ActiveWithin = "/var/lib/deskstorm/gaps", 2*time.Minute
	require.Equal(t, want.Secret.String(), c.Secret.String())
	c.Secret = want.Secret // which also knows where it was read
	require.Equal(t, want, c)
}

func TestMistakesOfConfiguration(t *testing.T) {
	const good = "secret: {env: S}\nsites: [{name: N1, zone: UTC}]\n"
	for _, c := range []struct{ text, want string }{
		{"{}", "secret is missing"},
		{good + "departments: [sales, sales]", `x.yaml:3:22: departments[1]: "sales" is there twice`},
		{good + "departments: [other]", "is not \"other\""},
		{good + "departments: [sales]\nactive_within: 300", "x.yaml:4:16: active_within: expected a duration from 10s to 1h"},
		{good + "departments: [sales]\nlunch: 12:00", "x.yaml:4:1: lunch: unknown key"},
		{"secret: hunter2\nsites: [{name: N1, zone: CET-1}]\ndepartments: [a]", `x.yaml:2:26: sites[0].zone: "CET-1" is no time zone`},
		{good + "departments: [" + strings.Repeat("d, ", 3) + "d]", "there twice"},
	} {
		r, n := configfile.Parse([]byte(c.text), "x.yaml", "the exporter's configuration")
		Read(r, n)
		require.ErrorContains(t, r.Err(), c.want)
		require.NotContains(t, r.Err().Error(), "hunter2")
	}
}
