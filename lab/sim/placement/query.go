package placement

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// filter is what a query wants of providers.
type filter struct {
	name, id   string // empty: any
	resources  map[string]int
	traits     [][]string // one of each list must be there
	forbidden  []string
	members    [][]string // of aggregates, likewise
	notMembers []string
}

// since is the microversions that query parameters came with.
type since map[string]int

var (
	providerQuery  = since{"name": 0, "uuid": 0, "member_of": 3, "resources": 4, "in_tree": 14, "required": 18}
	candidateQuery = since{
		"resources": 10, "limit": 16, "required": 17, "member_of": 21, "group_policy": 25, "in_tree": 31, "root_required": 35,
	}
)

// filter reads a request's query.
func (p *Placement) filter(c *call, known since) (filter, *refusal) {
	q := c.URL.Query()
	if r := known.check(c, q); r != nil {
		return filter{}, r
	}
	f := filter{name: q.Get("name"), id: q.Get("uuid")}
	if tree := q.Get("in_tree"); tree != "" { // a tree is one provider here
		if f.id != "" && f.id != tree {
			tree = "none"
		}
		f.id = tree
	}
	var r *refusal
	if q.Has("resources") {
		if f.resources, r = p.parseResources(q.Get("resources")); r != nil {
			return f, r
		}
	}
	for _, value := range append(slices.Clone(q["required"]), q["root_required"]...) {
		if r := p.parseRequired(c, value, &f); r != nil {
			return f, r
		}
	}
	if len(q["member_of"]) > 1 && !c.atLeast(24) {
		return f, badRequest("Multiple member_of parameters are not supported")
	}
	for _, value := range q["member_of"] {
		if r := parseMemberOf(c, value, &f); r != nil {
			return f, r
		}
	}
	return f, nil
}

func (s since) check(c *call, q url.Values) *refusal {
	for name, values := range q {
		if minor, ok := s[name]; !ok || !c.atLeast(minor) {
			return badRequest("Invalid query string parameters: Additional properties are not allowed ('%s' was unexpected)", name)
		}
		if len(values) > 1 && name != "member_of" && (name != "required" || !c.atLeast(39)) {
			return &refusal{http.StatusBadRequest, "placement.query.duplicate_key", "Invalid query string parameters: " +
				"the parameter " + name + " may only be given once"}
		}
	}
	return nil
}

func (p *Placement) parseResources(value string) (map[string]int, *refusal) {
	const badly = "Badly formed resources parameter. Expected resources query string parameter in form: ?resources=VCPU:2,MEMORY_MB:1024. Got: "
	if value == "" {
		return nil, badRequest(badly + "empty string.")
	}
	wanted := map[string]int{}
	for part := range strings.SplitSeq(value, ",") {
		class, amount, ok := strings.Cut(part, ":")
		n, err := strconv.Atoi(amount)
		switch {
		case !ok:
			return nil, badRequest("%s%s.", badly, part)
		case err != nil:
			return nil, badRequest("Requested resource %s expected positive integer amount. Got: %s.", class, amount)
		case n < 1:
			return nil, badRequest("Requested resource %s requires amount >= 1. Got: %d.", class, n)
		case !p.classes[class]:
			return nil, badRequest("Invalid resource class in resources parameter: No such resource class %s.", class)
		}
		wanted[class] = n
	}
	return wanted, nil
}

func (p *Placement) parseRequired(c *call, value string, f *filter) *refusal {
	var named []string
	if list, ok := strings.CutPrefix(value, "in:"); ok && c.atLeast(39) {
		named = strings.Split(list, ",")
		f.traits = append(f.traits, named)
	} else {
		for name := range strings.SplitSeq(value, ",") {
			forbidden, isForbidden := strings.CutPrefix(name, "!")
			switch {
			case forbidden == "" || isForbidden && !c.atLeast(22):
				return badRequest("Invalid query string parameters: Expected 'required' parameter value of the form: "+
					"HW_CPU_X86_VMX,CUSTOM_MAGIC. Got: %s", value)
			case isForbidden:
				f.forbidden = append(f.forbidden, forbidden)
			default:
				f.traits = append(f.traits, []string{name})
			}
			named = append(named, forbidden)
		}
	}
	for _, name := range named {
		if !p.traits[name] {
			return badRequest("No such trait(s): %s.", name)
		}
	}
	return nil
}

func parseMemberOf(c *call, value string, f *filter) *refusal {
	value, forbidden := strings.CutPrefix(value, "!")
	if forbidden && !c.atLeast(32) {
		return badRequest("Forbidden member_of parameters are not supported in the specified microversion")
	}
	list, isList := strings.CutPrefix(value, "in:")
	ids := strings.Split(list, ",")
	if len(ids) > 1 && !isList {
		return badRequest("Multiple values for 'member_of' must be prefixed with the 'in:' or '!in:' keyword using the valid microversion. Got: %s", value)
	}
	for _, id := range ids {
		if !isUUID(id) {
			return badRequest("Invalid query string parameters: Expected 'member_of' parameter to contain valid UUID(s). Got: %s", value)
		}
	}
	if forbidden {
		f.notMembers = append(f.notMembers, ids...)
	} else {
		f.members = append(f.members, ids)
	}
	return nil
}

func (f filter) matches(p *provider) bool {
	if f.name != "" && f.name != p.name || f.id != "" && f.id != p.id || !p.fits(f.resources) {
		return false
	}
	for _, one := range f.traits {
		if !slices.ContainsFunc(one, func(t string) bool { return p.traits[t] }) {
			return false
		}
	}
	for _, one := range f.members {
		if !slices.ContainsFunc(one, p.isMember) {
			return false
		}
	}
	return !slices.ContainsFunc(f.forbidden, func(t string) bool { return p.traits[t] }) && !slices.ContainsFunc(f.notMembers, p.isMember)
}

func (p *provider) isMember(aggregate string) bool { return slices.Contains(p.aggregates, aggregate) }
