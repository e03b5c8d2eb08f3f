package nova

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// aggregate is a group of hosts. Nova.mu guards it.
type aggregate struct {
	id       int
	uuid     string
	name     string
	hosts    []string // names, in the order of their adding
	metadata map[string]string
	created  time.Time
	updated  time.Time // zero: never
}

// zoneKey of an aggregate's metadata makes it an availability zone.
const zoneKey = "availability_zone"

func (a *aggregate) view(c *call) map[string]any {
	v := map[string]any{
		"id": a.id, "name": a.name, zoneKey: nil, "created_at": a.created.UTC().Format(microTime), "updated_at": nil,
		"deleted_at": nil, "deleted": false, "hosts": append([]string{}, a.hosts...), "metadata": a.metadata,
	}
	if zone := a.metadata[zoneKey]; zone != "" {
		v[zoneKey] = zone
	}
	if !a.updated.IsZero() {
		v["updated_at"] = a.updated.UTC().Format(microTime)
	}
	if c.atLeast(41) {
		v["uuid"] = a.uuid
	}
	return v
}

func (c *call) answerAggregate(a *aggregate) {
	c.answer(http.StatusOK, map[string]any{"aggregate": a.view(c)})
}

// aggregate is the one of the path, else nil and answered. It is called with the lock held.
func (n *Nova) aggregate(c *call) *aggregate {
	id, err := strconv.Atoi(c.PathValue("id"))
	if err != nil {
		c.fail(http.StatusBadRequest, "Invalid input received: id must be an integer")
		return nil
	}
	for _, a := range n.aggregates {
		if a.id == id {
			return a
		}
	}
	c.fail(http.StatusNotFound, "Aggregate "+c.PathValue("id")+" could not be found.")
	return nil
}

func (n *Nova) listAggregates(c *call) {
	if !c.adminOnly("os-aggregates:index") {
		return
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	list := []any{}
	for _, a := range n.aggregates {
		list = append(list, a.view(c))
	}
	c.answer(http.StatusOK, map[string]any{"aggregates": list})
}

func (n *Nova) showAggregate(c *call) {
	if !c.adminOnly("os-aggregates:show") {
		return
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	if a := n.aggregate(c); a != nil {
		c.answerAggregate(a)
	}
}

type aggregateBody struct {
	Aggregate struct {
		Name *string
		Zone *string `json:"availability_zone"`
	}
}

func aggregateCheck(required ...string) check {
	return object([]string{"aggregate"}, property{"aggregate", object(required, property{"name", name},
		property{zoneKey, zoneOrNull})})
}

func zoneOrNull(raw rawJSON) *flaw {
	if kindOf(raw) != "null" && zoneName(raw) != nil {
		return &flaw{message: python(raw) + " is not valid under any of the given schemas"}
	}
	return nil
}

func (n *Nova) createAggregate(c *call) {
	var body aggregateBody
	if !c.valid(aggregateCheck("name"), &body) || !c.adminOnly("os-aggregates:create") {
		return
	}
	asked := body.Aggregate
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.refusesName(c, *asked.Name, nil) {
		return
	}
	n.aggregateIDs++
	a := &aggregate{
		id: n.aggregateIDs, uuid: uuid.NewString(), name: *asked.Name, created: n.config.Now(), metadata: map[string]string{},
	}
	if asked.Zone != nil {
		a.metadata[zoneKey] = *asked.Zone
	}
	n.aggregates = append(n.aggregates, a)
	v := a.view(c)
	delete(v, "hosts")
	delete(v, "metadata")
	c.answer(http.StatusOK, map[string]any{"aggregate": v})
}

// refusesName answers 409 for a name that another aggregate has.
func (n *Nova) refusesName(c *call, name string, but *aggregate) bool {
	for _, o := range n.aggregates {
		if o.name == name && o != but {
			c.fail(http.StatusConflict, "Aggregate "+name+" already exists.")
			return true
		}
	}
	return false
}

func (n *Nova) updateAggregate(c *call) {
	var body aggregateBody
	if !c.valid(aggregateCheck(), &body) || !c.adminOnly("os-aggregates:update") {
		return
	}
	asked := body.Aggregate
	n.mu.Lock()
	defer n.mu.Unlock()
	a := n.aggregate(c)
	if a == nil || asked.Name != nil && n.refusesName(c, *asked.Name, a) {
		return
	}
	if asked.Zone != nil {
		if why := n.zoneConflict(a, *asked.Zone, a.hosts, true); why != "" {
			c.fail(http.StatusBadRequest, "Cannot update aggregate "+strconv.Itoa(a.id)+". Reason: "+why+".")
			return
		}
		a.metadata = maps.Clone(a.metadata)
		a.metadata[zoneKey] = *asked.Zone
	}
	if asked.Name != nil {
		a.name = *asked.Name
	}
	a.updated = n.config.Now()
	c.answerAggregate(a)
}

func (n *Nova) deleteAggregate(c *call) {
	if !c.adminOnly("os-aggregates:delete") {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	a := n.aggregate(c)
	if a == nil {
		return
	}
	if len(a.hosts) > 0 {
		c.fail(http.StatusBadRequest, "Cannot remove host from aggregate "+strconv.Itoa(a.id)+". Reason: Host aggregate is not empty.")
		return
	}
	n.aggregates = slices.DeleteFunc(n.aggregates, func(o *aggregate) bool { return o == a })
	c.w.WriteHeader(http.StatusOK)
}

// zoneConflict says why hosts of an aggregate cannot be in a zone; empty: they can (is_safe_to_update_az). It is called with the
// lock held.
func (n *Nova) zoneConflict(a *aggregate, zone string, hosts []string, mustBeEmpty bool) string {
	if zone == "" {
		return "Aggregate " + a.name + " does not support empty named availability zone"
	}
	var others []string
	for _, o := range n.aggregates {
		other := o.metadata[zoneKey]
		shares := slices.ContainsFunc(hosts, func(h string) bool { return slices.Contains(o.hosts, h) })
		if o != a && shares && other != "" && other != zone {
			others = append(others, other)
		}
	}
	if len(others) > 0 {
		return "One or more hosts already in availability zone(s) " + pythonList(others)
	}
	if mustBeEmpty && a.metadata[zoneKey] != zone {
		for _, name := range hosts {
			if h := n.hostNamed(name); h != nil && len(h.servers) > 0 {
				return "One or more hosts contain instances in this zone"
			}
		}
	}
	return ""
}

func (n *Nova) actOnAggregate(c *call) {
	c.act(map[string]func(arguments []byte){
		"add_host":     func(raw []byte) { n.addAggregateHost(c, raw) },
		"remove_host":  func(raw []byte) { n.removeAggregateHost(c, raw) },
		"set_metadata": func(raw []byte) { n.setAggregateMetadata(c, raw) },
	})
}

var aggregateHost = object([]string{"host"}, property{"host", hostName})

func (n *Nova) addAggregateHost(c *call, raw []byte) {
	var asked struct{ Host string }
	if !c.passes("add_host", raw, aggregateHost, &asked) || !c.adminOnly("os-aggregates:add_host") {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	a := n.aggregate(c)
	if a == nil {
		return
	}
	if n.hostNamed(asked.Host) == nil {
		c.fail(http.StatusNotFound, "Compute host "+asked.Host+" could not be found.")
		return
	}
	id := strconv.Itoa(a.id)
	if zone, ok := a.metadata[zoneKey]; ok {
		if why := n.zoneConflict(a, zone, []string{asked.Host}, false); why != "" {
			c.fail(http.StatusConflict, "Cannot add host to aggregate "+id+". Reason: "+why+".")
			return
		}
	}
	if slices.Contains(a.hosts, asked.Host) {
		c.fail(http.StatusConflict, "Aggregate "+id+" already has host "+asked.Host+".")
		return
	}
	a.hosts = append(slices.Clone(a.hosts), asked.Host)
	c.answerAggregate(a)
}

func (n *Nova) removeAggregateHost(c *call, raw []byte) {
	var asked struct{ Host string }
	if !c.passes("remove_host", raw, aggregateHost, &asked) || !c.adminOnly("os-aggregates:remove_host") {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	a := n.aggregate(c)
	if a == nil {
		return
	}
	if !slices.Contains(a.hosts, asked.Host) {
		c.fail(http.StatusNotFound, "Cannot remove host "+asked.Host+" in aggregate "+c.PathValue("id"))
		return
	}
	a.hosts = slices.DeleteFunc(slices.Clone(a.hosts), func(h string) bool { return h == asked.Host })
	c.answerAggregate(a)
}

// setAggregateMetadata adds to the metadata; null takes a key away.
func (n *Nova) setAggregateMetadata(c *call, raw []byte) {
	var asked struct{ Metadata map[string]*string }
	body := object([]string{"metadata"}, property{"metadata", mapping(orNull(text(0, 255), "string"))})
	if !c.passes("set_metadata", raw, body, &asked) || !c.adminOnly("os-aggregates:set_metadata") {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	a := n.aggregate(c)
	if a == nil {
		return
	}
	if zone, ok := asked.Metadata[zoneKey]; ok {
		if zone == nil {
			zone = new(string)
		}
		if why := n.zoneConflict(a, *zone, a.hosts, true); why != "" {
			c.fail(http.StatusBadRequest, "Cannot update metadata of aggregate "+strconv.Itoa(a.id)+". Reason: "+why+".")
			return
		}
	}
	a.metadata = maps.Clone(a.metadata)
	for key, value := range asked.Metadata {
		if value == nil {
			delete(a.metadata, key)
		} else {
			a.metadata[key] = *value
		}
	}
	said := *a
	said.updated = n.config.Now() // Nova says so, but does not keep it
	c.answerAggregate(&said)
}
