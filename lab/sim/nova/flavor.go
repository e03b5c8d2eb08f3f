package nova

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// Flavor is a size of servers.
type Flavor struct {
	ID, Name  string
	VCPUs     int
	RAM       int // MB
	Disk      int // GB
	Ephemeral int // GB
	Swap      int // MB
	Specs     map[string]string
	// Description is null for clients where it is nil.
	Description *string
	// Private flavors are there for administrators, and for the projects with access to them.
	Private  bool
	Projects []string // ids

	number int     // Nova's ids before those that clients see
	rxtx   float64 // 0: 1
}

func (f *Flavor) specs() map[string]string {
	if f.Specs == nil {
		return map[string]string{}
	}
	return f.Specs
}

func (f *Flavor) rxtxFactor() float64 { return cmp.Or(f.rxtx, 1) }

// visible tells whether a caller may use a flavor.
func (f *Flavor) visible(c *call) bool {
	return !f.Private || c.caller.Admin() || slices.Contains(f.Projects, c.caller.ProjectID)
}

type flavorView struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Links       []link `json:"links"`
	Description any    `json:"description,omitempty"` // null from 2.55 on
	*flavorDetail
}

type flavorDetail struct {
	RAM       int     `json:"ram"`
	Disk      int     `json:"disk"`
	Swap      any     `json:"swap"`
	Ephemeral int     `json:"OS-FLV-EXT-DATA:ephemeral"`
	Disabled  bool    `json:"OS-FLV-DISABLED:disabled"`
	VCPUs     int     `json:"vcpus"`
	Public    bool    `json:"os-flavor-access:is_public"`
	RXTX      float64 `json:"rxtx_factor"`
	Specs     any     `json:"extra_specs,omitempty"` // from 2.61 on
}

func (n *Nova) flavorView(c *call, f *Flavor, detail bool) flavorView {
	v := flavorView{ID: f.ID, Name: f.Name, Links: []link{
		{"self", n.config.URL + "/v2.1/flavors/" + f.ID}, {"bookmark", n.config.URL + "/flavors/" + f.ID},
	}}
	if c.atLeast(55) {
		v.Description = f.Description
	}
	if !detail {
		return v
	}
	v.flavorDetail = &flavorDetail{
		RAM: f.RAM, Disk: f.Disk, Swap: f.Swap, Ephemeral: f.Ephemeral, VCPUs: f.VCPUs, Public: !f.Private, RXTX: f.rxtxFactor(),
	}
	if f.Swap == 0 && !c.atLeast(75) {
		v.Swap = ""
	}
	if c.atLeast(61) {
		v.flavorDetail.Specs = f.specs()
	}
	return v
}

func (n *Nova) listFlavors(c *call)   { n.writeFlavors(c, "flavors", false) }
func (n *Nova) detailFlavors(c *call) { n.writeFlavors(c, "flavors/detail", true) }

func (n *Nova) writeFlavors(c *call, path string, detail bool) {
	if c.refusesQuery(75, "limit", "marker", "is_public", "minRam", "minDisk", "sort_key", "sort_dir") {
		return
	}
	p, err := c.page()
	if c.failed(err) {
		return
	}
	wanted, err := c.flavorFilter()
	if c.failed(err) {
		return
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	var found []*Flavor
	for _, f := range n.flavors {
		if wanted(f) {
			found = append(found, f)
		}
	}
	if c.failed(c.sortFlavors(found)) {
		return
	}
	start := 0
	if p.marker != "" {
		start = 1 + slices.IndexFunc(found, func(f *Flavor) bool { return f.ID == p.marker })
		if start == 0 {
			c.fail(http.StatusBadRequest, "marker ["+p.marker+"] not found")
			return
		}
	}
	list := []flavorView{}
	for _, f := range found[start:min(len(found), start+p.limit)] {
		list = append(list, n.flavorView(c, f, detail))
	}
	body := map[string]any{"flavors": list}
	if len(list) > 0 {
		if links := n.next(c, p, len(list), path, list[len(list)-1].ID); links != nil {
			body["flavors_links"] = links
		}
	}
	c.answer(http.StatusOK, body)
}

func (c *call) flavorFilter() (func(*Flavor) bool, error) {
	q := c.URL.Query()
	least := map[string]int{}
	for _, name := range []string{"minRam", "minDisk"} {
		if !q.Has(name) {
			continue
		}
		v, err := strconv.Atoi(q.Get(name))
		if err != nil {
			return nil, badRequest("Invalid " + name + " filter [" + q.Get(name) + "]")
		}
		least[name] = v
	}
	public := func(f *Flavor) bool { return !f.Private || slices.Contains(f.Projects, c.caller.ProjectID) }
	if asked := q.Get("is_public"); c.caller.Admin() && q.Has("is_public") {
		switch yes, no := isTrue(asked), isFalse(asked); {
		case strings.EqualFold(asked, "none"):
			public = func(*Flavor) bool { return true }
		case no:
			public = func(f *Flavor) bool { return f.Private }
		case !yes:
			return nil, badRequest("Invalid is_public filter [" + asked + "]")
		}
	}
	return func(f *Flavor) bool { return public(f) && f.RAM >= least["minRam"] && f.Disk >= least["minDisk"] }, nil
}

var flavorKeys = map[string]func(a, b *Flavor) int{
	"flavorid":  func(a, b *Flavor) int { return strings.Compare(a.ID, b.ID) },
	"name":      func(a, b *Flavor) int { return strings.Compare(a.Name, b.Name) },
	"memory_mb": func(a, b *Flavor) int { return cmp.Compare(a.RAM, b.RAM) },
	"root_gb":   func(a, b *Flavor) int { return cmp.Compare(a.Disk, b.Disk) },
	"vcpus":     func(a, b *Flavor) int { return cmp.Compare(a.VCPUs, b.VCPUs) },
	"swap":      func(a, b *Flavor) int { return cmp.Compare(a.Swap, b.Swap) },
	"id":        func(a, b *Flavor) int { return cmp.Compare(a.number, b.number) },
}

// flavorSortKeys are Nova's, in its order; by those without an entry in flavorKeys all flavors here are alike.
var flavorSortKeys = []string{
	"created_at", "description", "disabled", "ephemeral_gb", "flavorid", "id", "is_public", "memory_mb", "name", "root_gb",
	"rxtx_factor", "swap", "updated_at", "vcpu_weight", "vcpus",
}

func (c *call) sortFlavors(list []*Flavor) error {
	q := c.URL.Query()
	key, direction := cmp.Or(q.Get("sort_key"), "flavorid"), cmp.Or(q.Get("sort_dir"), "asc")
	if !slices.Contains(flavorSortKeys, key) {
		return invalidQuery("sort_key", key, pythonString(key)+" is not one of "+pythonList(flavorSortKeys))
	}
	if direction != "asc" && direction != "desc" {
		return invalidQuery("sort_dir", direction, pythonString(direction)+" is not one of ['asc', 'desc']")
	}
	by := flavorKeys[key]
	slices.SortFunc(list, func(a, b *Flavor) int {
		d := 0
		if by != nil {
			d = by(a, b)
		}
		d = cmp.Or(d, cmp.Compare(a.number, b.number))
		if direction == "desc" {
			return -d
		}
		return d
	})
	return nil
}

// flavor is the one of the path, else nil and answered. It is called with the lock held.
func (n *Nova) flavor(c *call) *Flavor {
	f := n.flavors[c.PathValue("id")]
	if f == nil || !f.visible(c) {
		c.fail(http.StatusNotFound, "Flavor "+c.PathValue("id")+" could not be found.")
		return nil
	}
	return f
}

func (n *Nova) showFlavor(c *call) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if f := n.flavor(c); f != nil {
		c.answer(http.StatusOK, map[string]any{"flavor": n.flavorView(c, f, true)})
	}
}

// addFlavor is called with the lock held. Flavors are replaced, never changed: servers keep those they were made of.
func (n *Nova) addFlavor(f *Flavor) {
	n.flavorIDs++
	f.number = n.flavorIDs
	n.flavors[f.ID] = f
}

var (
	flavorID = all(func(raw rawJSON) *flaw {
		switch k := kindOf(raw); k {
		case "string", "integer", "number", "null":
			return nil
		}
		return ofType(raw, "string", "number", "null")
	}, func(raw rawJSON) *flaw {
		if kindOf(raw) != "string" {
			return nil
		}
		return all(text(1, 255), matching(`^[a-zA-Z0-9._-]([a-zA-Z0-9. _-]*[a-zA-Z0-9._-])?$`))(raw)
	})
	flavorDescription = orNull(text(0, 65535), "string")
)

func (n *Nova) createFlavor(c *call) {
	var body struct {
		Flavor struct {
			Name        string
			ID          *rawJSON
			RAM         number
			VCPUs       number
			Disk        number
			Ephemeral   number `json:"OS-FLV-EXT-DATA:ephemeral"`
			Swap        number
			RXTX        *rawJSON `json:"rxtx_factor"`
			Public      *flag    `json:"os-flavor-access:is_public"`
			Description *string
		}
	}
	properties := []property{
		{"name", name}, {"id", flavorID}, {"ram", integer(1, maxInt)}, {"vcpus", integer(1, maxInt)}, {"disk", integer(0, maxInt)},
		{"OS-FLV-EXT-DATA:ephemeral", integer(0, maxInt)}, {"swap", integer(0, maxInt)}, {"rxtx_factor", rxtxFactor},
		{"os-flavor-access:is_public", boolean},
	}
	if c.atLeast(55) {
		properties = append(properties, property{"description", flavorDescription})
	}
	check := object([]string{"flavor"}, property{"flavor", object([]string{"name", "ram", "vcpus", "disk"}, properties...)})
	if !c.valid(check, &body) || !c.adminOnly("os-flavor-manage:create") {
		return
	}
	asked := body.Flavor
	f := &Flavor{
		ID: uuid.NewString(), Name: asked.Name, VCPUs: int(asked.VCPUs), RAM: int(asked.RAM), Disk: int(asked.Disk),
		Ephemeral: int(asked.Ephemeral), Swap: int(asked.Swap), Private: asked.Public != nil && !bool(*asked.Public),
		Description: asked.Description,
	}
	if asked.ID != nil && kindOf(*asked.ID) != "null" {
		f.ID = stringOf(*asked.ID)
	}
	if asked.RXTX != nil {
		f.rxtx, _ = strconv.ParseFloat(stringOf(*asked.RXTX), 64)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, o := range n.flavors {
		if o.Name == f.Name {
			c.fail(http.StatusConflict, "Flavor with name "+f.Name+" already exists.")
			return
		}
	}
	if n.flavors[f.ID] != nil {
		c.fail(http.StatusConflict, "Flavor with ID "+f.ID+" already exists.")
		return
	}
	n.addFlavor(f)
	c.answer(http.StatusOK, map[string]any{"flavor": n.flavorView(c, f, true)})
}

// rxtxFactor is a number above 0.
func rxtxFactor(raw rawJSON) *flaw {
	switch kindOf(raw) {
	case "integer", "number", "string":
	default:
		return ofType(raw, "number", "string")
	}
	if f := matching(`^[0-9]+(\.[0-9]+)?$`)(raw); f != nil {
		return f
	}
	switch v, err := strconv.ParseFloat(stringOf(raw), 64); {
	case err != nil || v > 3.40282e+38:
		return &flaw{message: stringOf(raw) + " is greater than the maximum of 3.40282e+38"}
	case v <= 0:
		return &flaw{message: stringOf(raw) + " is less than or equal to the minimum of 0"}
	}
	return nil
}

// updateFlavor changes the description, which is all that can be changed of a flavor.
func (n *Nova) updateFlavor(c *call) {
	var body struct {
		Flavor struct{ Description *string }
	}
	check := object([]string{"flavor"}, property{"flavor", object([]string{"description"}, property{"description", flavorDescription})})
	if !c.valid(check, &body) || !c.adminOnly("os-flavor-manage:update") {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	f := n.flavor(c)
	if f == nil {
		return
	}
	changed := *f
	changed.Description = body.Flavor.Description
	n.flavors[f.ID] = &changed
	c.answer(http.StatusOK, map[string]any{"flavor": n.flavorView(c, &changed, true)})
}

func (n *Nova) deleteFlavor(c *call) {
	if !c.adminOnly("os-flavor-manage:delete") {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if f := n.flavor(c); f != nil {
		delete(n.flavors, f.ID)
		c.w.WriteHeader(http.StatusAccepted)
	}
}
