package contract_test

import (
	"os"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/config/clouds"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/contract"
)

// TestCloud runs the contract on a test cloud of one's own, and only where it is asked for:
//
//	DESKSTORM_CONTRACT_CLOUD         the administrator's cloud in clouds.yaml
//	DESKSTORM_CONTRACT_USER_CLOUD    the ordinary user's there
//	DESKSTORM_CONTRACT_FLAVOR        names of a small flavor, an image and a shared network
//	DESKSTORM_CONTRACT_IMAGE
//	DESKSTORM_CONTRACT_NETWORK
//	DESKSTORM_CONTRACT_HOSTS         compute nodes, by commas: at least two
//
// and where the cloud has them:
//
//	DESKSTORM_CONTRACT_CONSOLE_HOST  a compute node whose SPICE servers can be reached from here
//	DESKSTORM_CONTRACT_AMQP          the message broker's amqp:// URL
//	DESKSTORM_CONTRACT_LDAP          the directory's ldap:// URL, of the user's domain
//	DESKSTORM_CONTRACT_LDAP_BASE     its base DN
//	DESKSTORM_CONTRACT_LDAP_DN       a service account's DN and password
//	DESKSTORM_CONTRACT_LDAP_PASSWORD
func TestCloud(t *testing.T) {
	if os.Getenv("DESKSTORM_CONTRACT_CLOUD") == "" {
		t.Skip("DESKSTORM_CONTRACT_CLOUD names no cloud")
	}
	env := func(name string) string {
		t.Helper()
		value := os.Getenv("DESKSTORM_CONTRACT_" + name)
		require.NotEmpty(t, value, "DESKSTORM_CONTRACT_%s", name)
		return value
	}
	parse := func(cloud string) (gophercloud.AuthOptions, string) {
		t.Helper()
		auth, endpoint, _, err := clouds.Parse(clouds.WithCloudName(cloud))
		require.NoError(t, err)
		if auth.Scope == nil {
			auth.Scope = &gophercloud.AuthScope{
				ProjectID: auth.TenantID, ProjectName: auth.TenantName, DomainID: auth.DomainID, DomainName: auth.DomainName,
			}
		}
		return auth, endpoint.Region
	}
	c := contract.Cloud{
		Flavor: env("FLAVOR"), Image: env("IMAGE"), Network: env("NETWORK"), Hosts: strings.Split(env("HOSTS"), ","),
		Can: contract.Abilities{
			ConsoleHost: os.Getenv("DESKSTORM_CONTRACT_CONSOLE_HOST"), NotificationURL: os.Getenv("DESKSTORM_CONTRACT_AMQP"),
		},
	}
	c.Admin, c.Region = parse(env("CLOUD"))
	c.User, _ = parse(env("USER_CLOUD"))
	if url := os.Getenv("DESKSTORM_CONTRACT_LDAP"); url != "" {
		c.Can.Directory = &contract.Directory{
			URL: url, BaseDN: env("LDAP_BASE"), ServiceDN: env("LDAP_DN"), ServicePassword: env("LDAP_PASSWORD"),
		}
	}
	contract.Run(t, c)
}
