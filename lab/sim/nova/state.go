package nova

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Server is a server's state at one moment.
type Server struct {
	ID, Name  string
	Project   string // its id
	User      string // its id
	Status    string // as the API tells it: "BUILD", "ACTIVE", "SHUTOFF", "ERROR" ...
	Task      string // what is being done to it, such as "deleting"; empty: nothing
	Fault     string // why it is in ERROR
	Host      string // its name; empty: not scheduled
	Metadata  map[string]string
	Tags      []string
	Addresses []string
	Console   *Console // nil: no desktop was started
	Created   time.Time
	Launched  time.Time // zero: never was ACTIVE
}

// Servers are all servers, oldest first.
func (n *Nova) Servers() []Server {
	n.mu.RLock()
	defer n.mu.RUnlock()
	all := make([]Server, 0, len(n.order))
	for _, s := range n.order {
		all = append(all, s.snapshot())
	}
	return all
}

// Server is one server; false if there is none of this id.
func (n *Nova) Server(id string) (Server, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	s := n.servers[id]
	if s == nil {
		return Server{}, false
	}
	return s.snapshot(), true
}

func (s *server) snapshot() Server {
	v := Server{
		ID: s.id, Name: s.name, Project: s.project, User: s.user, Status: s.status(), Task: s.task,
		Metadata: maps.Clone(s.metadata), Tags: slices.Clone(s.tags), Created: s.created, Launched: s.launched,
	}
	if s.fault != nil {
		v.Fault = s.fault.message
	}
	if s.host != nil {
		v.Host = s.host.Name
	}
	for _, p := range s.ports {
		v.Addresses = append(v.Addresses, p.Address)
	}
	if s.console != nil {
		v.Console = new(*s.console)
	}
	return v
}

// Seed is a server that is there from the start.
type Seed struct {
	Name     string
	Metadata map[string]string
	Tags     []string
	// Status is "ACTIVE", "SHUTOFF" or "BUILD". The desktop of an ACTIVE one is booted when its console is first asked for;
	// a server of status BUILD is built as others are. Empty: ACTIVE.
	Status string
	// ID is the server's; empty: a random one.
	ID string

	Flavor, Image string   // ids
	Networks      []string // ids
	Project, User string   // ids
	Host          string   // its id; empty: any
}

// Add makes servers that are there from the start.
func (n *Nova) Add(seeds []Seed) error {
	for i, seed := range seeds {
		if err := n.plant(seed); err != nil {
			return fmt.Errorf("server %d of %d, %s: %w", i+1, len(seeds), seed.Name, err)
		}
	}
	return nil
}

// seedCheck is what the API would say.
var seedCheck = object(nil, property{"name", name}, property{"metadata", metadataItems}, property{"tags", tagList})

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func (n *Nova) plant(seed Seed) error {
	given, err := json.Marshal(map[string]any{"name": seed.Name, "metadata": orEmpty(seed.Metadata), "tags": append([]string{}, seed.Tags...)})
	if err != nil {
		return err
	}
	if f := seedCheck(given); f != nil {
		return f
	}
	if err := checkMetadata(seed.Metadata); err != nil {
		return err
	}
	if seed.ID == "" {
		seed.ID = uuid.NewString()
	}
	now := n.config.Now()
	s := &server{
		id: seed.ID, name: seed.Name, project: seed.Project, user: seed.User, flavor: n.flavors[seed.Flavor], image: seed.Image,
		networks: seed.Networks, wish: wish{host: seed.Host}, created: now, updated: now, metadata: maps.Clone(orEmpty(seed.Metadata)),
		tags: slices.Compact(slices.Sorted(slices.Values(seed.Tags))), reservation: reservationID(),
		hostname: hostname(seed.Name, "Server-"+seed.ID),
	}
	if s.flavor == nil {
		return fmt.Errorf("there is no flavor %s", seed.Flavor)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.servers[s.id] != nil {
		return fmt.Errorf("there is a server %s already", s.id)
	}
	switch seed.Status {
	case "BUILD":
		s.state, s.task = building, scheduling
		n.add(s)
		n.begin(s, n.build(nil))
		return nil
	case "", "ACTIVE":
		s.state, s.launched = active, now
	case "SHUTOFF":
		s.state, s.launched = stopped, now
	default:
		return fmt.Errorf("status %q is not ACTIVE, SHUTOFF or BUILD", seed.Status)
	}
	provider, ok := n.config.Placement.Claim(s.id, s.project, s.user, resourcesOf(s.flavor), s.wish.host)
	if !ok {
		return fmt.Errorf("%sGive the lab more or larger hosts", noValidHost)
	}
	n.settle(s, n.hostByID[provider])
	n.add(s)
	n.mu.Unlock()
	err = n.attach(s)
	n.mu.Lock()
	return err
}
