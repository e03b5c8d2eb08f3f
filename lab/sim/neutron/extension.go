package neutron

import "net/http"

// extensions are those of Neutron's that there are here, as it describes them.
var extensions = []map[string]any{
	extension("agent", "agent", "The agent management extension.", "2013-02-03T10:00:00-00:00"),
	extension("binding", "Port Binding", "Expose port bindings of a virtual port to external application", "2014-02-03T10:00:00-00:00"),
	extension("network-ip-availability", "Network IP Availability", "Provides IP availability data for each network and subnet.", "2015-09-24T00:00:00-00:00"),
	extension("pagination", "Pagination support", "Extension that indicates that pagination is enabled.", "2016-06-12T00:00:00-00:00"),
	extension("port-security", "Port Security", "Provides port security", "2012-07-23T10:00:00-00:00"),
	extension("project-id", "project_id field enabled", "Extension that indicates that project_id field is enabled.", "2016-09-09T09:09:09-09:09"),
	extension("provider", "Provider Network", "Expose mapping of virtual networks to physical networks", "2012-09-07T10:00:00-00:00"),
	extension("quotas", "Quota management support", "Expose functions for quotas management per tenant", "2012-07-29T10:00:00-00:00"),
	extension("quota_details", "Quota details management support", "Expose functions for quotas usage statistics per project", "2017-02-10T10:00:00-00:00"),
	extension("sorting", "Sorting support", "Extension that indicates that sorting is enabled.", "2016-06-12T00:00:00-00:00"),
	extension("standard-attr-description", "standard-attr-description", "Extension to add descriptions to standard attributes", "2016-02-10T10:00:00-00:00"),
	extension("standard-attr-revisions", "Resource revision numbers", "This extension will display the revision number of neutron resources.", "2016-04-11T10:00:00-00:00"),
	extension("standard-attr-timestamp", "Resource timestamps", "Adds created_at and updated_at fields to all Neutron resources that have Neutron standard attributes.", "2016-09-12T10:00:00-00:00"),
}

func extension(alias, name, description, updated string) map[string]any {
	return map[string]any{"alias": alias, "name": name, "description": description, "updated": updated, "links": []any{}}
}

func (n *Neutron) listExtensions(c *call) {
	c.answer(http.StatusOK, map[string]any{"extensions": extensions})
}

func (n *Neutron) showExtension(c *call) {
	for _, e := range extensions {
		if e["alias"] == c.PathValue("alias") {
			c.answer(http.StatusOK, map[string]any{"extension": e})
			return
		}
	}
	c.fail(&refusal{http.StatusNotFound, "HTTPNotFound", "The resource could not be found."})
}
