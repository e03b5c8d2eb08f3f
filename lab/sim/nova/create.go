package nova

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// order is what a request to create servers asks for.
type order struct {
	name, description string
	described         bool
	hostname          string
	flavor            *Flavor
	image             string
	metadata          map[string]string
	tags              []string
	networks          []string
	wish              wish
	least, most       int
	password          string
	reservation       string
}

// createBody is what POST /servers takes, in a microversion.
func (c *call) createBody() check {
	properties := []property{
		{"name", name}, {"imageRef", imageRef}, {"flavorRef", flavorRef}, {"adminPass", anyText}, {"metadata", metadataItems},
		{"networks", c.networksCheck()}, {"OS-DCF:diskConfig", oneOf("AUTO", "MANUAL")}, {"accessIPv4", anyText}, {"accessIPv6", anyText},
		{"availability_zone", name}, {"block_device_mapping", anything}, {"block_device_mapping_v2", anything}, {"config_drive", boolean},
		{"key_name", name}, {"min_count", integer(1, maxInt)}, {"max_count", integer(1, maxInt)}, {"return_reservation_id", boolean},
		{"security_groups", array(object(nil, property{"name", name}), 0)}, {"user_data", text(0, 65535)},
	}
	since := func(minor int, p property) {
		if c.atLeast(minor) {
			properties = append(properties, p)
		}
	}
	if !c.atLeast(57) {
		properties = append(properties, property{"personality", anything})
	}
	since(19, property{"description", orNull(text(0, 255), "string")})
	since(52, property{"tags", tagList})
	since(63, property{"trusted_image_certificates", anything})
	since(74, property{"host", hostName})
	since(74, property{"hypervisor_hostname", hostName})
	since(90, property{"hostname", serverHostname})
	required := []string{"name", "flavorRef"}
	if c.atLeast(37) {
		required = append(required, "networks")
	}
	return object([]string{"server"}, property{"server", object(required, properties...)},
		property{"os:scheduler_hints", anything}, property{"OS-SCH-HNT:scheduler_hints", anything})
}

// imageRef may be empty only for servers that boot from volumes.
func imageRef(raw rawJSON) *flaw {
	if kindOf(raw) != "string" || stringOf(raw) != "" && uuidFormat(raw) != nil {
		return &flaw{message: python(raw) + " is not valid under any of the given schemas"}
	}
	return nil
}

func flavorRef(raw rawJSON) *flaw {
	switch kindOf(raw) {
	case "integer":
		return nil
	case "string":
		return text(1, maxInt)(raw)
	}
	return ofType(raw, "string", "integer")
}

func (c *call) networksCheck() check {
	item := object(nil, property{"fixed_ip", anyText}, property{"port", orNull(uuidFormat, "string")}, property{"uuid", anyText},
		property{"tag", anyText})
	if !c.atLeast(37) {
		return array(item, 0)
	}
	item = object(nil, property{"fixed_ip", anyText}, property{"port", orNull(uuidFormat, "string")}, property{"uuid", uuidFormat},
		property{"tag", anyText})
	list, words := array(item, 0), oneOf("none", "auto")
	return func(raw rawJSON) *flaw {
		if list(raw) != nil && words(raw) != nil {
			return &flaw{message: python(raw) + " is not valid under any of the given schemas"}
		}
		return nil
	}
}

func (n *Nova) createServer(c *call) {
	var body struct {
		Server struct {
			createFields
			Reservation flag `json:"return_reservation_id"`
		}
	}
	if !c.valid(c.createBody(), &body) {
		return
	}
	o, err := n.readOrder(c, &body.Server.createFields)
	if c.failed(err) {
		return
	}
	n.mu.Lock()
	servers, err := n.accept(c, o)
	n.mu.Unlock()
	if c.failed(err) {
		return
	}
	if body.Server.Reservation {
		c.answer(http.StatusAccepted, map[string]any{"reservation_id": o.reservation})
		return
	}
	s := servers[0]
	links := n.links(s.id)
	c.w.Header().Set("Location", links[0].Href)
	c.answer(http.StatusAccepted, map[string]any{"server": map[string]any{
		"id": s.id, "links": links, "OS-DCF:diskConfig": "MANUAL", "security_groups": []groupView{{"default"}}, "adminPass": o.password,
	}})
}

// createFields are those of a server to create that count here.
type createFields struct {
	Name        string
	Image       *string `json:"imageRef"`
	Flavor      rawJSON `json:"flavorRef"`
	Password    *string `json:"adminPass"`
	Metadata    map[string]string
	Networks    rawJSON
	Zone        string  `json:"availability_zone"`
	Devices     rawJSON `json:"block_device_mapping"`
	DevicesV2   rawJSON `json:"block_device_mapping_v2"`
	Key         *string `json:"key_name"`
	Least       *number `json:"min_count"`
	Most        *number `json:"max_count"`
	Description *string
	Tags        []string
	Host        *string
	Hypervisor  *string `json:"hypervisor_hostname"`
	Hostname    *string
}

func (n *Nova) readOrder(c *call, asked *createFields) (*order, error) {
	o := &order{name: asked.Name, metadata: asked.Metadata, reservation: reservationID()}
	if asked.Description != nil {
		o.description, o.described = *asked.Description, true
	} else if !c.atLeast(19) {
		o.description, o.described = o.name, true
	}
	o.password = newPassword()
	if asked.Password != nil {
		o.password = *asked.Password
	}
	o.tags = slices.Compact(slices.Sorted(slices.Values(asked.Tags)))
	if asked.Hostname != nil {
		o.hostname = *asked.Hostname
	}
	o.least, o.most = 1, 0
	if asked.Least != nil {
		o.least = int(*asked.Least)
	}
	o.most = o.least
	if asked.Most != nil {
		o.most = int(*asked.Most)
	}
	if o.least > o.most {
		return nil, badRequest("min_count must be <= max_count")
	}
	var err error
	if o.wish, err = n.readWish(c, asked); err != nil {
		return nil, err
	}
	if len(asked.Devices) > 0 || len(asked.DevicesV2) > 0 {
		return nil, badRequest("Block Device Mapping is Invalid: this cloud has no volumes.")
	}
	if asked.Image == nil || *asked.Image == "" {
		return nil, badRequest("Missing imageRef attribute")
	}
	o.image = *asked.Image
	if o.networks, err = n.readNetworks(c, asked.Networks); err != nil {
		return nil, err
	}
	n.mu.RLock()
	id := lastPart(stringOf(asked.Flavor))
	o.flavor = n.flavors[id]
	n.mu.RUnlock()
	if o.flavor == nil || !o.flavor.visible(c) {
		return nil, badRequest("Flavor " + id + " could not be found.")
	}
	if o.hostname != "" && o.most > 1 {
		return nil, badRequest("Unable to allocate a single hostname to multiple instances")
	}
	if asked.Key != nil {
		return nil, badRequest("Invalid key_name provided.")
	}
	if err := n.checkImage(o.image, o.flavor, "Can not find requested image"); err != nil {
		return nil, err
	}
	if err := checkMetadata(o.metadata); err != nil {
		return nil, err
	}
	if o.most > maxAtOnce {
		return nil, problem{http.StatusForbidden, fmt.Sprintf("Quota exceeded for instances: Requested %d, but the lab makes %d at once",
			o.most, maxAtOnce)}
	}
	return o, nil
}

// maxAtOnce is how many servers one request can make where no quota says less.
const maxAtOnce = 1000

func newPassword() string {
	var random [9]byte
	_, _ = rand.Read(random[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(random[:])
}

func reservationID() string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	for i, b := range random {
		random[i] = letters[int(b)%len(letters)]
	}
	return "r-" + string(random[:])
}

// checkImage: there is one, and the flavor is large enough for it.
func (n *Nova) checkImage(id string, f *Flavor, absent string) error {
	image, ok := n.config.Glance.Image(id)
	switch {
	case !ok:
		return badRequest(absent)
	case image.MinRAM > f.RAM:
		return badRequest("Flavor's memory is too small for requested image.")
	case f.Disk > 0 && image.Size > int64(f.Disk)<<30:
		return badRequest(fmt.Sprintf("Flavor's disk is too small for requested image. Flavor disk is %d bytes, image is %d bytes.",
			f.Disk<<30, image.Size))
	case f.Disk > 0 && image.MinDisk > f.Disk:
		return badRequest(fmt.Sprintf("Flavor's disk is smaller than the minimum size specified in image metadata. Flavor disk is %d "+
			"bytes, minimum size is %d bytes.", f.Disk<<30, image.MinDisk<<30))
	}
	return nil
}

// readWish is where the servers are to run: a zone, or a host that administrators may choose by host, hypervisor_hostname or a zone
// with a host, as in "nova:compute01".
func (n *Nova) readWish(c *call, asked *createFields) (w wish, err error) {
	zone, hostPart, forced := strings.Cut(asked.Zone, ":")
	if strings.Count(asked.Zone, ":") > 2 {
		return w, badRequest("Invalid input received: Unable to parse availability_zone")
	}
	host, node, _ := strings.Cut(hostPart, ":") // a host has one node, of its name
	n.mu.RLock()
	defer n.mu.RUnlock()
	if forced {
		if !c.caller.Admin() {
			return w, problem{http.StatusForbidden, "Policy doesn't allow os_compute_api:servers:create:forced_host to be performed."}
		}
		// The zone is the host's, whatever was asked for.
		if h := n.hostNamed(cmp.Or(host, node)); h != nil {
			w = wish{zone: n.zoneOf(h), host: h.ID, forced: true}
		} else {
			w.missing = "No such host - host: " + cmp.Or(host, "None") + " node: " + cmp.Or(node, "None") + " "
		}
	} else if zone != "" {
		if available, _ := n.zones(); !slices.Contains(available, zone) {
			return w, badRequest("The requested availability zone is not available")
		}
		w.zone = zone
	}
	for _, name := range []*string{asked.Host, asked.Hypervisor} {
		if name == nil || *name == "" {
			continue
		}
		if !c.caller.Admin() {
			return w, problem{http.StatusForbidden, "Policy doesn't allow compute:servers:create:requested_destination to be performed."}
		}
		if forced {
			return w, badRequest("One mechanism with host and/or hypervisor_hostname and another mechanism with zone:host:node are " +
				"mutually exclusive.")
		}
		h := n.hostNamed(*name)
		if h == nil || w.host != "" && w.host != h.ID {
			return w, badRequest("Compute host " + *name + " could not be found.")
		}
		w.host = h.ID
	}
	return w, nil
}

// readNetworks are the ids of the networks that a server is attached to.
func (n *Nova) readNetworks(c *call, raw rawJSON) ([]string, error) {
	visible := n.config.Neutron.Visible(c.caller.ProjectID)
	automatic := func() ([]string, error) {
		if len(visible) > 1 {
			return nil, problem{http.StatusConflict,
				"Multiple possible networks found, use a Network ID to be more specific."}
		}
		return visible, nil
	}
	switch stringOf(raw) {
	case "", "auto":
		return automatic()
	case "none":
		return nil, nil
	}
	var list []struct {
		UUID string `json:"uuid"`
		Port string `json:"port"`
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, badRequest("Malformed request body")
	}
	var ids []string
	for _, item := range list {
		if item.Port != "" {
			return nil, badRequest("Port id " + item.Port + " could not be found.") // ports are made with the servers only
		}
		if item.UUID == "" {
			return nil, badRequest("Bad network format: missing 'uuid'")
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
	count, err := n.room(c.caller.ProjectID, o.flavor, o.least, o.most)
	if err != nil {
		return nil, err
	}
	var servers []*server
	for i := range count {
		s := &server{
			id: uuid.NewString(), name: o.name, description: o.description, described: o.described, hostname: o.hostname,
			project: c.caller.ProjectID, user: c.caller.UserID, flavor: o.flavor, image: o.image, metadata: o.metadata, tags: o.tags,
			networks: o.networks, wish: o.wish, zone: o.wish.zone, state: building, task: scheduling, created: n.config.Now(),
			reservation: o.reservation, launchIndex: i,
		}
		if o.most > 1 {
			s.name += "-" + strconv.Itoa(i+1)
		}
		if s.hostname == "" {
			s.hostname = hostname(s.name, "Server-"+s.id)
		}
		if s.metadata == nil {
			s.metadata = map[string]string{}
		}
		s.updated = s.created
		n.add(s)
		a := n.record(c, s, "create")
		servers = append(servers, s)
		n.begin(s, n.build(a))
	}
	return servers, nil
}
