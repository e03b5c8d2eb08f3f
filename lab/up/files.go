package up

import (
	"crypto/rand"
	"time"

	"github.com/deskstorm/deskstorm/lab/folder"
	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/lab/sim/directory"
)

// writeFiles writes what the broker and clients need, and returns the path of the broker's configuration.
func (c *Cloud) writeFiles(people directory.Config, o Options) (string, error) {
	if _, err := c.Sim.WriteCloudsYAML(c.Dir); err != nil {
		return "", err
	}
	if err := folder.WriteUsers(c.Dir, c.Users); err != nil {
		return "", err
	}
	if err := folder.RemoveDatabase(c.Dir); err != nil {
		return "", err
	}
	agents, supervisors := folder.Shares(o.Users, o.Desktops, o.Ready)
	return folder.Broker{
		Cloud: sim.AdminCloud, LDAP: c.Directory.URL, People: people, Token: rand.Text(), Agents: agents, Supervisors: supervisors,
		Lease: o.Lease, Wait: o.Wait, CheckEvery: o.checkEvery(), DirectoryTimeout: o.DirectoryTimeout,
	}.Write(c.Dir)
}

// checkEvery is the time between inspections of a pool. An inspection tries the console of each desktop that is ready: every 15 s,
// the broker of 10,000 desktops would do nothing else.
func (o Options) checkEvery() time.Duration {
	const least, each = 15 * time.Second, 10 * time.Millisecond
	if o.CheckEvery != 0 {
		return o.CheckEvery
	}
	return max(least, time.Duration(o.Desktops)*each)
}

// seeds are the desktops for clients that ask Nova themselves.
func seeds(n int) []sim.ServerSeed {
	var all []sim.ServerSeed
	for _, d := range folder.Desktops(n) {
		all = append(all, sim.ServerSeed{Name: d.Name, Metadata: d.Metadata})
	}
	return all
}

// Environment is where the cloud is, as NAME=VALUE, for scripts of package scenarios and for OpenStack's own tools.
func (c *Cloud) Environment() []string {
	return append(folder.Environment(c.Dir, c.Broker, sim.AdminCloud, sim.UsersDomain), "DESKSTORM_LAB="+c.Control)
}
