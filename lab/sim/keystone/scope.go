package keystone

import "encoding/json"

type scope struct {
	Project *reference      `json:"project"`
	Domain  json.RawMessage `json:"domain"`
	System  *struct {
		All bool `json:"all"`
	} `json:"system"`
}

// applyScope gives a token the project, domain or system that the request wants, if the user has a role there.
func (k *Keystone) applyScope(t *token, raw json.RawMessage) error {
	if len(raw) == 0 || string(raw) == `"unscoped"` || string(raw) == "null" {
		return nil
	}
	var s scope
	if err := json.Unmarshal(raw, &s); err != nil {
		return malformed{"project, domain or system", "scope"}
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	switch {
	case s.Project != nil:
		p := k.findProject(*s.Project)
		if p == nil {
			return refusal("Could not find project: " + s.Project.ID + s.Project.Name + ".")
		}
		t.project, t.on = p, target{onProject, p.ID}
	case len(s.Domain) > 0:
		var ref reference
		if err := json.Unmarshal(s.Domain, &ref); err != nil || ref.ID+ref.Name == "" {
			return malformed{"id or name", "domain"}
		}
		id := k.domainID(&ref)
		if id == "" {
			return refusal("Could not find domain: " + ref.ID + ref.Name + ".")
		}
		t.on = target{onDomain, id}
	case s.System != nil && s.System.All:
		t.on = wholeSystem
	default:
		return malformed{"project, domain or system", "scope"}
	}
	if t.roles = k.rolesOn(t.user, t.on); len(t.roles) == 0 {
		return refusal("User " + t.user.id + " has no access to " + t.on.kind + " " + t.on.id)
	}
	return nil
}
