package nova

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
)

// createFields are what POST /servers takes, with the microversion since which it does.
var createFields = map[string]int{
	"name": 1, "imageRef": 1, "flavorRef": 1, "adminPass": 1, "metadata": 1, "networks": 1, "OS-DCF:diskConfig": 1,
	"accessIPv4": 1, "accessIPv6": 1, "availability_zone": 1, "block_device_mapping": 1, "block_device_mapping_v2": 1,
	"config_drive": 1, "key_name": 1, "min_count": 1, "max_count": 1, "return_reservation_id": 1, "security_groups": 1,
	"user_data": 1, "personality": 1, "description": 19, "tags": 52, "trusted_image_certificates": 63, "host": 74,
	"hypervisor_hostname": 74, "hostname": 90,
}

// order is what a request to create servers asks for.
type order struct {
	name, description string
	described         bool
	flavor            *Flavor
	image             string
	metadata          map[string]string
	tags              []string
	networks          []string
	host              string // its id; empty: any
	count             int
	password          string
}

func (n *Nova) createServer(c *call) {
	var body struct {
		Server map[string]json.RawMessage `json:"server"`
	}
	if !c.read(&body) {
		return
	}
	if body.Server == nil {
		c.fail(http.StatusBadRequest, "'server' is a required property")
		return
	}
	o, err := n.readOrder(c, body.Server)
	if c.failed(err) {
		return
	}
	n.mu.Lock()
	servers, err := n.accept(c, o)
	n.mu.Unlock()
	if c.failed(err) {
		return
	}
	s := servers[0]
	links := n.basic(s).Links
	c.w.Header().Set("Location", links[0].Href)
	c.answer(http.StatusAccepted, map[string]any{"server": map[string]any{
		"id": s.id, "links": links, "OS-DCF:diskConfig": "MANUAL", "security_groups": []groupView{{"default"}}, "adminPass": o.password,
	}})
}

func (n *Nova) readOrder(c *call, fields map[string]json.RawMessage) (*order, error) {
	for name := range fields {
		if since, ok := createFields[name]; !ok || !c.atLeast(since) {
			return nil, badRequest("Additional properties are not allowed ('" + name + "' was unexpected)")
		}
	}
	o := &order{}
	var flavorRef string
	var description, password *string
	var metadata map[string]string
	for name, v := range map[string]any{
		"name": &o.name, "flavorRef": &flavorRef, "imageRef": &o.image, "description": &description, "metadata": &metadata,
		"tags": &o.tags, "adminPass": &password,
	} {
		if raw, ok := fields[name]; ok {
			if err := json.Unmarshal(raw, v); err != nil {
				return nil, invalidField(name, string(shorten(raw)), err.Error())
			}
		}
	}
	for _, name := range []string{"name", "flavorRef"} {
		if fields[name] == nil {
			return nil, badRequest("'" + name + "' is a required property")
		}
	}
	if err := checkName(o.name); err != nil {
		return nil, err
	}
	if len(fields["block_device_mapping"]) > 0 || len(fields["block_device_mapping_v2"]) > 0 {
		return nil, badRequest("Block Device Mapping is Invalid: this cloud has no volumes.")
	}
	o.image = lastPart(o.image)
	if _, ok := n.config.Glance.Image(o.image); !ok {
		return nil, badRequest("Can not find requested image")
	}
	if o.flavor = n.flavors[lastPart(flavorRef)]; o.flavor == nil {
		return nil, badRequest("Flavor " + lastPart(flavorRef) + " could not be found.")
	}
	if err := checkMetadata(metadata); err != nil {
		return nil, err
	}
	o.metadata = metadata
	if err := checkTags(o.tags); err != nil {
		return nil, err
	}
	o.tags = slices.Compact(slices.Sorted(slices.Values(o.tags)))
	switch {
	case description != nil:
		o.description, o.described = *description, true
	case !c.atLeast(19):
		o.description, o.described = o.name, true
	}
	if password == nil {
		var random [9]byte
		_, _ = rand.Read(random[:]) // never fails
		o.password = base64.RawURLEncoding.EncodeToString(random[:])
	} else {
		o.password = *password
	}
	var err error
	if o.count, err = readCount(fields); err != nil {
		return nil, err
	}
	if o.host, err = n.readHost(c, fields); err != nil {
		return nil, err
	}
	o.networks, err = n.readNetworks(c, fields["networks"])
	return o, err
}

func shorten(raw []byte) []byte { return raw[:min(len(raw), 100)] }

func checkName(name string) error {
	if strings.TrimSpace(name) == "" || utf8.RuneCountInString(name) > 255 {
		return invalidField("name", strconv.Quote(string(shorten([]byte(name)))), "A name has 1 to 255 characters, and not only spaces.")
	}
	return nil
}

// maxAtOnce is how many servers one request can make where no quota says less.
const maxAtOnce = 1000

// readCount is how many servers to make: max_count, at least min_count.
func readCount(fields map[string]json.RawMessage) (int, error) {
	count := map[string]int{"min_count": 1, "max_count": 0}
	for name := range count {
		raw, ok := fields[name]
		if !ok {
			continue
		}
		v, err := strconv.Atoi(strings.Trim(string(raw), `"`))
		if err != nil || v < 1 {
			return 0, invalidField(name, string(shorten(raw)), "It must be an integer of at least 1.")
		}
		if v > maxAtOnce {
			return 0, problem{http.StatusForbidden, fmt.Sprintf("Quota exceeded for instances: Requested %d, but the lab makes %d at once",
				v, maxAtOnce)}
		}
		count[name] = v
	}
	if count["max_count"] == 0 {
		count["max_count"] = count["min_count"]
	}
	if count["min_count"] > count["max_count"] {
		return 0, badRequest("min_count must be <= max_count")
	}
	return count["max_count"], nil
}

// readHost is the host that administrators may choose, by host, hypervisor_hostname or an availability zone "nova:host".
func (n *Nova) readHost(c *call, fields map[string]json.RawMessage) (string, error) {
	wanted := ""
	for _, name := range []string{"host", "hypervisor_hostname", "availability_zone"} {
		raw := fields[name]
		if raw == nil || string(raw) == "null" {
			continue
		}
		var value string
		if err := json.Unmarshal(raw, &value); err != nil {
			return "", invalidField(name, string(shorten(raw)), "It is not of type 'string'")
		}
		if name == "availability_zone" {
			zone, host, forced := strings.Cut(value, ":")
			if zone != "nova" {
				return "", badRequest("The requested availability zone is not available")
			}
			if !forced {
				continue
			}
			value = host
		}
		wanted = value
	}
	if wanted == "" {
		return "", nil
	}
	if !c.caller.Admin() {
		return "", problem{http.StatusForbidden, "Policy doesn't allow compute:servers:create:requested_destination to be performed."}
	}
	for _, h := range n.hosts {
		if h.Name == wanted {
			return h.ID, nil
		}
	}
	return "", badRequest("Compute host " + wanted + " could not be found.")
}

// readNetworks are the ids of the networks that a server is attached to.
func (n *Nova) readNetworks(c *call, raw json.RawMessage) ([]string, error) {
	visible := n.config.Neutron.Visible(c.caller.ProjectID)
	automatic := func() ([]string, error) {
		if len(visible) > 1 {
			return nil, problem{http.StatusConflict,
				"Multiple possible networks found, use a Network ID to be more specific."}
		}
		return visible, nil
	}
	if len(raw) == 0 {
		if c.atLeast(37) {
			return nil, badRequest("'networks' is a required property")
		}
		return automatic()
	}
	var word string
	if json.Unmarshal(raw, &word) == nil {
		switch {
		case word == "none" && c.atLeast(37):
			return nil, nil
		case word == "auto" && c.atLeast(37):
			return automatic()
		}
		return nil, invalidField("networks", string(shorten(raw)), "It is not a list, 'none' or 'auto'.")
	}
	var list []struct {
		UUID string `json:"uuid"`
		Port string `json:"port"`
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, invalidField("networks", string(shorten(raw)), err.Error())
	}
	var ids []string
	for _, item := range list {
		if item.Port != "" {
			return nil, badRequest("Port " + item.Port + " could not be found.") // ports are made with the servers only
		}
		if _, err := uuid.Parse(item.UUID); err != nil {
			return nil, badRequest("Bad networks format: network uuid is not in proper format (" + item.UUID + ")")
		}
		if !slices.Contains(visible, item.UUID) {
			return nil, badRequest("Network " + item.UUID + " could not be found.")
		}
		ids = append(ids, item.UUID)
	}
	return ids, nil
}

// accept makes the servers and begins to build them. It is called with the lock held.
func (n *Nova) accept(c *call, o *order) ([]*server, error) {
	if n.closed {
		return nil, problem{http.StatusServiceUnavailable, "The lab is being closed."}
	}
	if err := n.checkQuota(n.project(c.caller.ProjectID).used, o); err != nil {
		return nil, err
	}
	var servers []*server
	for i := range o.count {
		name := o.name
		if o.count > 1 {
			name += "-" + strconv.Itoa(i+1)
		}
		s := &server{
			id: uuid.NewString(), name: name, description: o.description, described: o.described,
			project: c.caller.ProjectID, user: c.caller.UserID, flavor: o.flavor, image: o.image, metadata: o.metadata, tags: o.tags,
			networks: o.networks, wantedHost: o.host, state: building, task: scheduling, created: n.config.Now(),
		}
		if s.metadata == nil {
			s.metadata = map[string]string{}
		}
		s.updated = s.created
		n.add(s)
		done := n.record(c, s, "create")
		servers = append(servers, s)
		if n.lost != 0 {
			n.lost = max(n.lost-1, -1)
			continue // the message to the scheduler never arrives
		}
		n.begin(s, n.build, done)
	}
	return servers, nil
}

func (n *Nova) checkQuota(used Quota, o *order) error {
	limit := n.config.Quota
	for _, q := range []struct {
		name               string
		more, used, limits int
	}{
		{"instances", o.count, used.Instances, limit.Instances},
		{"cores", o.count * o.flavor.VCPUs, used.Cores, limit.Cores},
		{"ram", o.count * o.flavor.RAM, used.RAM, limit.RAM},
	} {
		if q.limits > 0 && q.used+q.more > q.limits {
			return problem{http.StatusForbidden, fmt.Sprintf("Quota exceeded for %s: Requested %d, but already used %d of %d %s",
				q.name, q.more, q.used, q.limits, q.name)}
		}
	}
	return nil
}
