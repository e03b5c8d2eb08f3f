package contract_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/contract"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/lab/rabbitmq/rabbitmqtest"
	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/lab/sim/directory"
)

// TestSim runs the contract on the simulated cloud, with the simulated directory behind its Keystone.
func TestSim(t *testing.T) { runSim(t, "") }

// TestSimNotifies does with a message bus.
func TestSimNotifies(t *testing.T) { runSim(t, rabbitmqtest.StartT(t).URL) }

func runSim(t *testing.T, bus string) {
	t.Helper()
	files, authority := qemutest.TLSFiles(t)
	certificate, err := tls.LoadX509KeyPair(filepath.Join(files.Dir, "server-cert.pem"), filepath.Join(files.Dir, "server-key.pem"))
	require.NoError(t, err)
	authorities := x509.NewCertPool()
	require.True(t, authorities.AppendCertsFromPEM(authority))
	people := directory.Callcenter(20)
	people.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	d, err := directory.Start(people)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	lab, err := sim.Start(t.Context(), sim.Config{Users: sim.DirectoryUsers(d), NotificationURL: bus})
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
			ConsoleHost: "compute01", NotificationURL: bus,
			RestartCompute: func(_ context.Context, host string) error {
				return errors.Join(lab.Nova.SetHostDown(host, true), lab.Nova.SetHostDown(host, false))
			},
			Directory: &contract.Directory{
				URL: d.URL, BaseDN: people.BaseDN, ServiceDN: people.ServiceDN, ServicePassword: people.ServicePassword,
				StartTLS: &tls.Config{RootCAs: authorities, ServerName: "localhost"},
				Lock:     func(locked bool) error { return d.Lock("agent0002", locked) }, LockUser: person("agent0002"),
			},
		},
	})
}
