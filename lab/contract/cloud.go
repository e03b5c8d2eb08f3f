package contract

import (
	"context"
	"crypto/tls"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
)

// Cloud is what the suite must know of a cloud. Its passwords reach no log.
type Cloud struct {
	Admin  gophercloud.AuthOptions // an administrator, with a project as scope
	User   gophercloud.AuthOptions // an ordinary user with the role member in the scope's project, and no more
	Region string

	Flavor  string // the name of a small one
	Image   string // its name
	Network string // its name; servers of any project may have ports there, and it has a subnet of IPv4
	// Hosts are the compute nodes where the suite builds, at least two, between which servers can be migrated live.
	Hosts []string

	// BuildTimeout bounds each change of a server's state: 60 s if 0.
	BuildTimeout time.Duration

	Can Abilities
}

// Abilities are what not every cloud has. The areas that need one of them do not run without it, and Run logs which.
type Abilities struct {
	// ConsoleHost is a compute node whose servers have a SPICE server that listens where the console's token says. Servers on
	// the other Hosts need a console too, but nothing must listen there.
	ConsoleHost string
	// RestartCompute restarts the nova-compute of one of Hosts, and returns when it is up. Without that Nova does not take a host
	// back from which servers were evacuated, so that no evacuation is tried where this is nil.
	RestartCompute func(ctx context.Context, host string) error
	// NotificationURL is the message broker to which Nova sends both forms of its notifications (notification_format both), as
	// amqp:// with its password.
	NotificationURL string
	// Directory holds the users of User's domain, User among them.
	Directory *Directory
}

// Directory is an LDAP directory with a user per person (inetOrgPerson, by uid) below organizational units, and groups
// (groupOfNames) whose members they are.
type Directory struct {
	URL             string // ldap://HOST:PORT
	BaseDN          string
	ServiceDN       string // of an account that may search
	ServicePassword string
	StartTLS        *tls.Config // nil: not offered
	// Lock locks, and unlocks, the account of LockUser, as an administrator of the directory does; nil: it cannot.
	Lock     func(locked bool) error
	LockUser gophercloud.AuthOptions // another one than User
}

// area is a part of the contract.
type area struct {
	name  string
	run   func(*testing.T, *suite)
	needs func(Abilities) string // what the cloud lacks for it; empty: nothing
}

func always(Abilities) string { return "" }

// together are the areas that do not disturb each other.
func together() []area {
	return []area{
		{"authentication", testAuthentication, always},
		{"tokens", testTokens, always},
		{"application credentials", testCredentials, always},
		{"catalog", testCatalog, always},
		{"people of the directory", testPeople, func(a Abilities) string { return lacks(a.Directory == nil, "Directory") }},
		{"directory", testDirectory, func(a Abilities) string { return lacks(a.Directory == nil, "Directory") }},
		{"errors", testErrors, always},
		{"placement", testPlacement, always},
		{"quotas", testQuotas, always},
		{"life cycle", testLifeCycle, always},
		{"microversions", testMicroversions, always},
		{"lists", testLists, always},
		{"consoles", testConsoles, always},
		{"consoles that listen", testListeningConsole, func(a Abilities) string { return lacks(a.ConsoleHost == "", "ConsoleHost") }},
		{"network", testNetwork, always},
		{"images", testImages, always},
		{"notifications", testNotifications, func(a Abilities) string { return lacks(a.NotificationURL == "", "NotificationURL") }},
	}
}

// alone are the areas that change what compute nodes take, one after the other.
func alone() []area {
	return []area{
		{"capacity of hosts", testHostCapacity, always},
		{"services and migrations", testServices, always},
		{"evacuation", testEvacuation, func(a Abilities) string { return lacks(a.RestartCompute == nil, "RestartCompute") }},
	}
}

func lacks(it bool, what string) string {
	if it {
		return "the cloud has no " + what
	}
	return ""
}

// Run runs the suite on a cloud.
func Run(t *testing.T, c Cloud) {
	if c.BuildTimeout == 0 {
		c.BuildTimeout = time.Minute
	}
	s := begin(t, c)
	run := func(t *testing.T, a area, parallel bool) {
		if lack := a.needs(c.Can); lack != "" {
			t.Logf("not run: %s: %s", a.name, lack)
			return
		}
		t.Run(a.name, func(t *testing.T) {
			if parallel {
				t.Parallel()
			}
			a.run(t, s)
		})
	}
	t.Run("together", func(t *testing.T) {
		for _, a := range together() {
			run(t, a, true)
		}
	})
	for _, a := range alone() {
		run(t, a, false)
	}
}
