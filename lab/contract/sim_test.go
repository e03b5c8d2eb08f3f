package contract_test

import (
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/contract"
	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/lab/sim/directory"
)

// TestSim runs the contract on the simulated cloud, with the simulated directory behind its Keystone.
func TestSim(t *testing.T) {
	people := directory.Callcenter(20)
	d, err := directory.Start(people)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	lab, err := sim.Start(t.Context(), sim.Config{Users: sim.DirectoryUsers(d)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, lab.Close()) })

	person := func(name string) gophercloud.AuthOptions {
		return gophercloud.AuthOptions{
			IdentityEndpoint: lab.AuthURL, Username: name, Password: directory.Password(name), DomainName: sim.UsersDomain,
			Scope: &gophercloud.AuthScope{ProjectName: sim.Project, DomainName: "Default"},
		}
	}
	contract.Run(t, contract.Cloud{
		BuildTimeout: 10 * time.Second,
		Admin:        lab.Admin(), User: person("agent0001"), Region: sim.Region,
		Flavor: "desktop.small", Image: "desktop", Network: "desktops", Hosts: []string{"compute01", "compute02", "compute03", "compute04"},
		Can: contract.Abilities{
			ConsoleHost: "compute01",
			Directory: &contract.Directory{
				URL: d.URL, BaseDN: people.BaseDN, ServiceDN: people.ServiceDN, ServicePassword: people.ServicePassword,
				Lock: func(locked bool) error { return d.Lock("agent0002", locked) }, LockUser: person("agent0002"),
			},
		},
	})
}
