package neutron

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// page is what a query wants of a list.
type page struct {
	filters  url.Values
	fields   []string
	keys     []string
	signs    []int
	limit    int // 0: none
	marker   string
	reversed bool
}

func readPage(q url.Values, known []attribute) (page, *refusal) {
	has := func(name string) bool {
		return slices.ContainsFunc(known, func(a attribute) bool { return a.name == name })
	}
	p := page{filters: url.Values{}, fields: q["fields"], marker: q.Get("marker"), reversed: isTrue(q.Get("page_reverse")), keys: q["sort_key"]}
	for name, values := range q {
		switch name {
		case "fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir":
		default:
			if !has(name) {
				return p, badRequest("HTTPBadRequest", "['%s'] is invalid attribute for filtering", name)
			}
			p.filters[name] = values
		}
	}
	if q.Has("limit") {
		n, err := strconv.Atoi(q.Get("limit"))
		if err != nil || n < 0 {
			return p, badRequest("BadRequest", "Bad limit request: Limit must be an integer 0 or greater and not '%s'.", q.Get("limit"))
		}
		p.limit = n
	}
	if len(q["sort_dir"]) != len(p.keys) {
		return p, badRequest("HTTPBadRequest", "The number of sort_keys and sort_dirs must be same")
	}
	for i, key := range p.keys {
		sign, ok := map[string]int{"asc": 1, "desc": -1}[q["sort_dir"][i]]
		if !ok {
			return p, badRequest("HTTPBadRequest", "['%s'] is invalid value for sort_dirs, valid value is 'asc' and 'desc'", q["sort_dir"][i])
		}
		if !has(key) {
			return p, badRequest("HTTPBadRequest", "['%s'] is invalid attribute for sort_keys", key)
		}
		p.signs = append(p.signs, sign)
	}
	return p, nil
}

func isTrue(s string) bool { return strings.EqualFold(s, "true") || s == "1" }

// list answers with a page of resources. Without keys they are in the order of their making.
func list[T any](c *call, key, kind string, all []*T) {
	known := attributesOf(reflect.TypeFor[T]())
	index := map[string][]int{}
	for _, a := range known {
		index[a.name] = a.index
	}
	p, r := readPage(c.URL.Query(), known)
	if r != nil {
		c.fail(r)
		return
	}
	of := func(o *T, name string) any { return reflect.ValueOf(o).Elem().FieldByIndex(index[name]).Interface() }
	id := func(o *T) string { return fmt.Sprint(of(o, "id")) }
	var found []*T
	for _, o := range all {
		if p.passes(func(name string) any { return of(o, name) }) {
			found = append(found, o)
		}
	}
	slices.SortStableFunc(found, func(a, b *T) int {
		for i, key := range p.keys {
			if n := compare(of(a, key), of(b, key)); n != 0 {
				return p.signs[i] * n
			}
		}
		return 0
	})
	if p.marker != "" {
		at := slices.IndexFunc(found, func(o *T) bool { return id(o) == p.marker })
		switch {
		case at < 0:
			c.fail(notFound(kind, p.marker))
			return
		case p.reversed:
			found = found[:at]
		default:
			found = found[at+1:]
		}
	}
	if p.limit > 0 && len(found) > p.limit {
		if p.reversed {
			found = found[len(found)-p.limit:]
		} else {
			found = found[:p.limit]
		}
	}
	views, ids := []any{}, []string{}
	for _, o := range found {
		views, ids = append(views, c.view(o, p.fields...)), append(ids, id(o))
	}
	body := map[string]any{key: views}
	if p.limit > 0 {
		body[key+"_links"] = c.links(p, ids)
	}
	c.answer(http.StatusOK, body)
}

// links are as neutron/api/api_common.py makes them: a page that is not full has no next one.
func (c *call) links(p page, ids []string) []any {
	links := []any{}
	add := func(rel, marker string, reversed bool) {
		q := c.URL.Query()
		q.Del("marker")
		q.Del("page_reverse")
		if marker != "" {
			q.Set("marker", marker)
		}
		if reversed {
			q.Set("page_reverse", "True")
		}
		links = append(links, map[string]any{"rel": rel, "href": c.url + c.URL.Path + "?" + q.Encode()})
	}
	first, last := "", ""
	if len(ids) > 0 {
		first, last = ids[0], ids[len(ids)-1]
	}
	full := len(ids) >= p.limit
	if full || p.reversed {
		add("next", last, false)
	}
	if full || !p.reversed {
		add("previous", first, true)
	}
	return links
}

// passes tells whether a resource passes the filters: each may be given several times, one value must be it.
func (p page) passes(of func(string) any) bool {
	for name, wanted := range p.filters {
		var ok bool
		switch has := of(name).(type) {
		case []fixedIP:
			ok = passesAddresses(has, wanted)
		case []string: // of tags, all must be there
			ok = !slices.ContainsFunc(strings.Split(strings.Join(wanted, ","), ","), func(w string) bool { return !slices.Contains(has, w) })
		case bool:
			ok = slices.ContainsFunc(wanted, func(w string) bool { return isTrue(w) == has })
		case *string:
			ok = has != nil && slices.Contains(wanted, *has)
		default:
			ok = slices.Contains(wanted, fmt.Sprint(has))
		}
		if !ok {
			return false
		}
	}
	return true
}

// passesAddresses knows the filters ip_address=, subnet_id= and ip_address_substr=; of each, one value must be it.
func passesAddresses(has []fixedIP, wanted []string) bool {
	byField := map[string][]string{}
	for _, w := range wanted {
		field, value, _ := strings.Cut(w, "=")
		byField[field] = append(byField[field], value)
	}
	return slices.ContainsFunc(has, func(ip fixedIP) bool {
		for field, values := range byField {
			ok := false
			for _, v := range values {
				ok = ok || field == "ip_address" && v == ip.Address || field == "subnet_id" && v == ip.Subnet ||
					field == "ip_address_substr" && strings.Contains(ip.Address, v)
			}
			if !ok {
				return false
			}
		}
		return true
	})
}

func compare(a, b any) int {
	x, ok := a.(int)
	y, both := b.(int)
	if ok && both {
		return cmp.Compare(x, y)
	}
	return strings.Compare(fmt.Sprint(a), fmt.Sprint(b))
}
