package glance

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// The page sizes of glance-api.conf: limit_param_default and api_limit_max.
const (
	usualPage = 25
	largePage = 1000
)

func (g *Glance) list(c *call) {
	q := c.URL.Query()
	limit := usualPage
	if q.Has("limit") {
		n, err := strconv.Atoi(q.Get("limit"))
		switch {
		case err != nil:
			c.fail(badRequest("limit param must be an integer"))
			return
		case n < 0:
			c.fail(badRequest("limit param must be positive"))
			return
		}
		limit = min(n, largePage)
	}
	order, r := readOrder(q)
	if r == nil {
		r = checkFilters(q)
	}
	if r != nil {
		c.fail(r)
		return
	}
	g.mu.RLock()
	var all []*image
	marker := g.byID[q.Get("marker")]
	for _, i := range g.byID {
		if i.listedFor(c.caller, q.Get("visibility")) && i.matches(q) || i == marker {
			all = append(all, i)
		}
	}
	g.mu.RUnlock()
	slices.SortFunc(all, order)
	if q.Has("marker") {
		if marker == nil || !marker.seenBy(c.caller) {
			c.fail(badRequest("No image found with ID %s", q.Get("marker")))
			return
		}
		all = all[slices.Index(all, marker)+1:]
	}
	list := []any{}
	for _, i := range all[:min(limit, len(all))] {
		list = append(list, i.view())
	}
	body := map[string]any{"images": list, "schema": "/v2/schemas/images", "first": "/v2/images"}
	q.Del("marker")
	if query := q.Encode(); query != "" {
		body["first"] = "/v2/images?" + query
	}
	if len(list) > 0 && len(list) == limit { // also if that was all
		q.Set("marker", all[len(list)-1].id)
		body["next"] = "/v2/images?" + q.Encode()
	}
	service.WriteJSON(c.w, http.StatusOK, body)
}

// sortKeys are those of Glance.
var sortKeys = []string{"name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at"}

type sortKey struct {
	field string
	sign  int
}

// readOrder reads "sort=name:asc,size" or the older sort_key and sort_dir; the newest come first otherwise.
func readOrder(q url.Values) (func(a, b *image) int, *refusal) {
	var keys []sortKey
	add := func(field, direction string) *refusal {
		if !slices.Contains(sortKeys, field) {
			return badRequest("Invalid sort key: %s. It must be one of the following: %s.", field, strings.Join(sortKeys, ", "))
		}
		switch direction {
		case "asc":
			keys = append(keys, sortKey{field, 1})
		case "desc", "":
			keys = append(keys, sortKey{field, -1})
		default:
			return badRequest("Invalid sort direction: %s", direction)
		}
		return nil
	}
	if q.Has("sort") && (q.Has("sort_key") || q.Has("sort_dir")) {
		return nil, badRequest("Old and new sorting syntax cannot be combined")
	}
	if q.Has("sort") {
		for part := range strings.SplitSeq(q.Get("sort"), ",") {
			field, direction, _ := strings.Cut(strings.TrimSpace(part), ":")
			if r := add(field, direction); r != nil {
				return nil, r
			}
		}
	}
	directions := q["sort_dir"]
	if fields := q["sort_key"]; len(directions) > 1 && len(directions) != len(fields) {
		return nil, badRequest("Number of sort dirs does not match the number of sort keys")
	}
	for n, field := range q["sort_key"] {
		direction := ""
		if len(directions) > 0 {
			direction = directions[min(n, len(directions)-1)]
		}
		if r := add(field, direction); r != nil {
			return nil, r
		}
	}
	for _, field := range []string{"created_at", "id"} { // also where those asked for are equal
		keys = append(keys, sortKey{field, -1})
	}
	return func(a, b *image) int {
		for _, k := range keys {
			if n := compare(a, b, k.field); n != 0 {
				return k.sign * n
			}
		}
		return 0
	}, nil
}

func compare(a, b *image, field string) int {
	switch field {
	case "size":
		return cmp.Compare(value(a.size), value(b.size))
	case "created_at":
		return a.created.Compare(b.created)
	case "updated_at":
		return a.updated.Compare(b.updated)
	}
	return strings.Compare(a.text(field), b.text(field))
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// text is a field as filters compare it.
func (i *image) text(field string) string {
	switch field {
	case "id":
		return i.id
	case "name":
		return value(i.name)
	case "status":
		return i.status
	case "owner":
		return i.owner
	case "disk_format":
		return value(i.disk)
	case "container_format":
		return value(i.container)
	case "checksum":
		return value(i.checksum)
	case "os_hash_value":
		return value(i.hash)
	case "min_disk":
		return strconv.Itoa(i.minDisk)
	case "min_ram":
		return strconv.Itoa(i.minRAM)
	case "protected":
		return strconv.FormatBool(i.protected)
	case "os_hidden":
		return strconv.FormatBool(i.hidden)
	}
	return i.properties[field]
}

// listedFor tells whether an image is in a caller's list: those of the community only if they are asked for.
func (i *image) listedFor(c *service.Caller, visibility string) bool {
	switch visibility {
	case "":
		return i.ownedBy(c) || i.visibility == public
	case "all":
		return i.seenBy(c)
	}
	return i.visibility == visibility && i.seenBy(c)
}

// notFilters are the parameters of a list that are something else.
var notFilters = []string{"limit", "marker", "sort", "sort_key", "sort_dir", "visibility", "tag", "size_min", "size_max", "member_status"}

func checkFilters(q url.Values) *refusal {
	if v := q.Get("visibility"); v != "" && v != "all" && !slices.Contains(visibilities, v) {
		return badRequest("Invalid visibility value: %s", v)
	}
	for _, bound := range []string{"size_min", "size_max"} {
		if q.Has(bound) {
			if _, err := strconv.ParseInt(q.Get(bound), 10, 64); err != nil {
				return badRequest("Unable to filter on a range with a non-numeric value.")
			}
		}
	}
	return nil
}

// matches tells whether an image passes the filters; "in:a,b" is Glance's list of values.
func (i *image) matches(q url.Values) bool {
	for field := range q {
		if slices.Contains(notFilters, field) {
			continue
		}
		wanted := []string{q.Get(field)}
		if list, ok := strings.CutPrefix(wanted[0], "in:"); ok {
			wanted = strings.Split(list, ",")
		}
		has := i.text(field)
		if !slices.ContainsFunc(wanted, func(w string) bool {
			w = strings.Trim(w, `"`)
			return w == has || (has == "true" || has == "false") && strings.EqualFold(w, has)
		}) {
			return false
		}
	}
	if !q.Has("os_hidden") && i.hidden {
		return false
	}
	for _, tag := range q["tag"] {
		if !slices.Contains(i.tags, tag) {
			return false
		}
	}
	least, _ := strconv.ParseInt(q.Get("size_min"), 10, 64) // was checked
	most, err := strconv.ParseInt(q.Get("size_max"), 10, 64)
	return value(i.size) >= least && (err != nil || value(i.size) <= most)
}
