package up

import (
	"crypto/rand"

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
		Lease: o.Lease, Wait: o.Wait, CheckEvery: o.CheckEvery, DirectoryTimeout: o.DirectoryTimeout,
	}.Write(c.Dir)
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
