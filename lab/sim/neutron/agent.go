package neutron

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/google/uuid"
)

// agent is as the API shows it.
type agent struct {
	ID          string  `json:"id"`
	Type        string  `json:"agent_type"`
	Binary      string  `json:"binary"`
	Host        string  `json:"host"`
	Topic       string  `json:"topic"`
	Zone        *string `json:"availability_zone"`
	Description *string `json:"description"`
	AdminUp     bool    `json:"admin_state_up"`
	Alive       bool    `json:"alive"`

	Configurations map[string]any `json:"configurations"`
	Synced         *bool          `json:"resources_synced"`
	Started        string         `json:"started_at"`
	Created        string         `json:"created_at"`
	Heartbeat      string         `json:"heartbeat_timestamp"`

	down  time.Time // since when it does not report; zero: it does
	after time.Time // when it reports again that was deleted
}

// reportInterval is Neutron's report_interval.
const reportInterval = 30 * time.Second

const agentTime = "2006-01-02 15:04:05"

const layer2 = "neutron-openvswitch-agent"

func (n *Neutron) agentsOf(hosts []string) []*agent {
	var all []*agent
	zone := "nova"
	for _, host := range hosts {
		for _, kind := range []struct {
			name, binary, topic string
			zone                *string
		}{{"Open vSwitch agent", layer2, "N/A", nil}, {"DHCP agent", "neutron-dhcp-agent", "dhcp_agent", &zone}} {
			started := n.config.Now().UTC().Format(agentTime)
			all = append(all, &agent{
				ID:   uuid.NewSHA1(uuid.NameSpaceURL, []byte("agent/"+kind.binary+"/"+host)).String(),
				Type: kind.name, Binary: kind.binary, Host: host, Topic: kind.topic, Zone: kind.zone,
				AdminUp: true, Alive: true, Configurations: map[string]any{}, Started: started, Created: started,
			})
		}
	}
	return all
}

// SetAgentDown lets an agent ("neutron-openvswitch-agent" or "neutron-dhcp-agent") of a host stop reporting, or report again.
// Neutron counts it as dead at once, not after agent_down_time; what a dead layer 2 agent's host is asked for has no network.
func (n *Neutron) SetAgentDown(host, binary string, down bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range n.agents {
		if a.Host != host || a.Binary != binary {
			continue
		}
		switch {
		case down && a.down.IsZero():
			a.down = n.config.Now()
		case !down:
			a.down = time.Time{}
		}
		a.Alive = !down
		return nil
	}
	return fmt.Errorf("host %s has no agent %s", host, binary)
}

// layer2Alive tells whether ports can be bound on a host. A cloud without agents needs none.
func (n *Neutron) layer2Alive(host string) bool {
	return len(n.config.Hosts) == 0 || slices.ContainsFunc(n.agents, func(a *agent) bool { return a.Host == host && a.Binary == layer2 && a.Alive })
}

// known are the agents that Neutron knows now, with their last report.
func (n *Neutron) known() []*agent {
	now := n.config.Now()
	var all []*agent
	for _, a := range n.agents {
		if now.Before(a.after) {
			continue
		}
		shown := *a
		last := now
		if !a.down.IsZero() {
			last = a.down
		}
		shown.Heartbeat = last.UTC().Truncate(reportInterval).Format(agentTime)
		all = append(all, &shown)
	}
	return all
}

// listAgents shows others than administrators none, as by Neutron's policy.
func (n *Neutron) listAgents(c *call) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	var seen []*agent
	if c.caller.Admin() {
		seen = n.known()
	}
	list(c, "agents", "Agent", seen)
}

// agent is the one of the path, for administrators; without one it answers 404.
func (n *Neutron) agent(c *call) *agent {
	id := c.PathValue("id")
	if c.caller.Admin() {
		for _, a := range n.known() {
			if a.ID == id {
				return a
			}
		}
	}
	c.fail(notFound("Agent", id))
	return nil
}

func (n *Neutron) showAgent(c *call) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if a := n.agent(c); a != nil {
		c.answer(http.StatusOK, map[string]any{"agent": c.view(a, c.URL.Query()["fields"]...)})
	}
}

func (n *Neutron) updateAgent(c *call) {
	b := c.read("agent")
	if b == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	shown := n.agent(c)
	if shown == nil {
		return
	}
	description := ""
	r := b.apply(false, map[string]setter{
		"admin_state_up": setBool(&shown.AdminUp),
		"description": func(raw json.RawMessage) *refusal {
			shown.Description = &description
			return setText("description", &description)(raw)
		},
	}, attributesOf(reflect.TypeFor[agent]()))
	if r != nil {
		c.fail(r)
		return
	}
	for _, a := range n.agents {
		if a.ID == shown.ID {
			a.AdminUp, a.Description = shown.AdminUp, shown.Description
		}
	}
	c.answer(http.StatusOK, map[string]any{"agent": c.view(shown)})
}

// deleteAgent forgets an agent. One that is alive is back, as another, with its next report.
func (n *Neutron) deleteAgent(c *call) {
	n.mu.Lock()
	defer n.mu.Unlock()
	shown := n.agent(c)
	if shown == nil {
		return
	}
	n.agents = slices.DeleteFunc(n.agents, func(a *agent) bool { return a.ID == shown.ID && !a.Alive })
	for _, a := range n.agents {
		if a.ID == shown.ID {
			a.after = n.config.Now().Truncate(reportInterval).Add(reportInterval)
			a.ID, a.AdminUp, a.Description = uuid.NewString(), true, nil
			a.Created = a.after.UTC().Format(agentTime)
			a.Started = a.Created
		}
	}
	c.w.WriteHeader(http.StatusNoContent)
}
