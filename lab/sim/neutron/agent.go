package neutron

import (
	"net/http"
	"time"

	"github.com/google/uuid"
)

// agent is as the API shows it, but for its heartbeat.
type agent struct {
	ID      string `json:"id"`
	Type    string `json:"agent_type"`
	Binary  string `json:"binary"`
	Host    string `json:"host"`
	Topic   string `json:"topic"`
	Zone    string `json:"availability_zone"`
	AdminUp bool   `json:"admin_state_up"`
	Alive   bool   `json:"alive"`

	Configurations map[string]any `json:"configurations"`
	Started        string         `json:"started_at"`
	Created        string         `json:"created_at"`
	Heartbeat      string         `json:"heartbeat_timestamp"`
}

// heartbeat is Neutron's report_interval.
const heartbeat = 30 * time.Second

const agentTime = "2006-01-02 15:04:05"

func agentsOf(hosts []string) []agent {
	var all []agent
	for _, host := range hosts {
		for _, kind := range []struct{ name, binary, topic, zone string }{
			{"Open vSwitch agent", "neutron-openvswitch-agent", "N/A", ""},
			{"DHCP agent", "neutron-dhcp-agent", "dhcp_agent", "nova"},
		} {
			started := time.Now().UTC().Format(agentTime)
			all = append(all, agent{
				ID:   uuid.NewSHA1(uuid.NameSpaceURL, []byte("agent/"+kind.binary+"/"+host)).String(),
				Type: kind.name, Binary: kind.binary, Host: host, Topic: kind.topic, Zone: kind.zone,
				AdminUp: true, Alive: true, Configurations: map[string]any{}, Started: started, Created: started,
			})
		}
	}
	return all
}

func (a agent) now() agent {
	a.Heartbeat = time.Now().UTC().Truncate(heartbeat).Format(agentTime)
	return a
}

func (n *Neutron) listAgents(c *call) {
	list := []agent{} // others than administrators see none, as by Neutron's policy
	for _, a := range n.agents {
		if c.caller.Admin() && c.wants(map[string]string{"id": a.ID, "host": a.Host, "agent_type": a.Type, "binary": a.Binary}) {
			list = append(list, a.now())
		}
	}
	c.answer("agents", http.StatusOK, list)
}

func (n *Neutron) showAgent(c *call) {
	for _, a := range n.agents {
		if c.caller.Admin() && a.ID == c.PathValue("id") {
			c.answer("agent", http.StatusOK, a.now())
			return
		}
	}
	c.notFound("Agent", c.PathValue("id"))
}

func (n *Neutron) listExtensions(c *call) {
	c.answer("extensions", http.StatusOK, []any{map[string]any{
		"alias": "agent", "name": "agent", "description": "The agent management extension.", "updated": "2013-02-03T10:00:00-00:00",
		"links": []any{},
	}})
}
