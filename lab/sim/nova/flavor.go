package nova

import "net/http"

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

func (f *Flavor) specs() map[string]string {
	if f.Specs == nil {
		return map[string]string{}
	}
	return f.Specs
}

func (n *Nova) flavorView(c *call, f *Flavor, detail bool) flavorView {
	v := flavorView{ID: f.ID, Name: f.Name, Links: []link{
		{"self", n.config.URL + "/v2.1/flavors/" + f.ID}, {"bookmark", n.config.URL + "/flavors/" + f.ID},
	}}
	if c.atLeast(55) {
		v.Description = (*string)(nil)
	}
	if detail {
		v.flavorDetail = &flavorDetail{RAM: f.RAM, Disk: f.Disk, Swap: "", VCPUs: f.VCPUs, Public: true, RXTX: 1}
		if c.atLeast(75) {
			v.Swap = 0
		}
		if c.atLeast(61) {
			v.Specs = f.specs()
		}
	}
	return v
}

func (n *Nova) listFlavors(c *call)   { n.writeFlavors(c, "flavors", false) }
func (n *Nova) detailFlavors(c *call) { n.writeFlavors(c, "flavors/detail", true) }

func (n *Nova) writeFlavors(c *call, path string, detail bool) {
	p, err := c.page()
	if c.failed(err) {
		return
	}
	if p.marker != "" && n.flavors[p.marker] == nil {
		c.fail(http.StatusBadRequest, "marker ["+p.marker+"] not found")
		return
	}
	list, reached := []flavorView{}, p.marker == ""
	for i := range n.config.Flavors {
		f := &n.config.Flavors[i]
		if reached && len(list) < p.limit {
			list = append(list, n.flavorView(c, f, detail))
		}
		reached = reached || f.ID == p.marker
	}
	body := map[string]any{"flavors": list}
	if len(list) > 0 {
		if links := n.next(c, p, len(list), path, list[len(list)-1].ID); links != nil {
			body["flavors_links"] = links
		}
	}
	c.answer(http.StatusOK, body)
}

// flavor is the one of the path; without one it answers 404.
func (n *Nova) flavor(c *call) *Flavor {
	f := n.flavors[c.PathValue("id")]
	if f == nil {
		c.fail(http.StatusNotFound, "Flavor "+c.PathValue("id")+" could not be found.")
	}
	return f
}

func (n *Nova) showFlavor(c *call) {
	if f := n.flavor(c); f != nil {
		c.answer(http.StatusOK, map[string]any{"flavor": n.flavorView(c, f, true)})
	}
}

func (n *Nova) listFlavorSpecs(c *call) {
	if f := n.flavor(c); f != nil {
		c.answer(http.StatusOK, map[string]any{"extra_specs": f.specs()})
	}
}
