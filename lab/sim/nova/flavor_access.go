package nova

import (
	"net/http"
	"slices"
)

func (f *Flavor) accessView() map[string]any {
	list := []any{}
	for _, project := range f.Projects {
		list = append(list, map[string]string{"flavor_id": f.ID, "tenant_id": project})
	}
	return map[string]any{"flavor_access": list}
}

func (n *Nova) listFlavorAccess(c *call) {
	if !c.adminOnly("os-flavor-access") {
		return
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	f := n.flavor(c)
	switch {
	case f == nil:
	case !f.Private:
		c.fail(http.StatusNotFound, "Access list not available for public flavors.")
	default:
		c.answer(http.StatusOK, f.accessView())
	}
}

func (n *Nova) actOnFlavor(c *call) {
	c.act(map[string]func(arguments []byte){
		"addTenantAccess":    func(raw []byte) { n.addFlavorAccess(c, raw) },
		"removeTenantAccess": func(raw []byte) { n.removeFlavorAccess(c, raw) },
	})
}

var tenant = object([]string{"tenant"}, property{"tenant", text(1, 255)})

func (n *Nova) addFlavorAccess(c *call, raw []byte) {
	var asked struct{ Tenant string }
	if !c.passes("addTenantAccess", raw, tenant, &asked) || !c.adminOnly("os-flavor-access:add_tenant_access") {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	f := n.flavor(c)
	switch {
	case f == nil:
	case !f.Private && c.atLeast(7):
		c.fail(http.StatusConflict, "Can not add access to a public flavor.")
	case slices.Contains(f.Projects, asked.Tenant):
		c.fail(http.StatusConflict, "Flavor access already exists for flavor "+f.ID+" and project "+asked.Tenant+" combination.")
	default:
		changed := *f
		changed.Projects = append(slices.Clone(f.Projects), asked.Tenant)
		n.flavors[f.ID] = &changed
		c.answer(http.StatusOK, changed.accessView())
	}
}

func (n *Nova) removeFlavorAccess(c *call, raw []byte) {
	var asked struct{ Tenant string }
	if !c.passes("removeTenantAccess", raw, tenant, &asked) || !c.adminOnly("os-flavor-access:remove_tenant_access") {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	f := n.flavor(c)
	switch {
	case f == nil:
	case !slices.Contains(f.Projects, asked.Tenant):
		c.fail(http.StatusNotFound, "Flavor access not found for "+f.ID+" / "+asked.Tenant+" combination.")
	default:
		changed := *f
		changed.Projects = slices.DeleteFunc(slices.Clone(f.Projects), func(p string) bool { return p == asked.Tenant })
		n.flavors[f.ID] = &changed
		c.answer(http.StatusOK, changed.accessView())
	}
}
