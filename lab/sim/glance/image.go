package glance

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// The states of an image here.
const (
	queued  = "queued" // has no data yet
	saving  = "saving"
	active  = "active"
	deleted = "deleted" // in notifications only
)

const (
	public    = "public"
	community = "community"
	private   = "private"
	shared    = "shared"
)

// image does not change; an update replaces it.
type image struct {
	id, owner, status, visibility string
	name, disk, container         *string
	size                          *int64
	checksum, hash                *string // MD5 and SHA-512 of the data
	minDisk, minRAM               int
	protected, hidden             bool
	tags                          []string
	properties                    map[string]string
	created, updated              time.Time
	data                          []byte // nil: was not kept
}

func newImage(id, owner string, now time.Time) *image {
	now = now.UTC().Truncate(time.Second)
	return &image{id: id, owner: owner, status: queued, visibility: shared, tags: []string{}, properties: map[string]string{}, created: now, updated: now}
}

func (i *image) clone() *image {
	o := *i
	o.tags, o.properties = slices.Clone(i.tags), maps.Clone(i.properties)
	return &o
}

func (i *image) view() map[string]any {
	self := "/v2/images/" + i.id
	v := map[string]any{
		"id": i.id, "name": i.name, "status": i.status, "visibility": i.visibility, "owner": i.owner, "size": i.size,
		"virtual_size": nil, "disk_format": i.disk, "container_format": i.container, "checksum": i.checksum, "os_hash_algo": nil,
		"os_hash_value": i.hash, "os_hidden": i.hidden, "protected": i.protected, "min_disk": i.minDisk, "min_ram": i.minRAM, "tags": i.tags,
		"created_at": i.created.Format(time.RFC3339), "updated_at": i.updated.Format(time.RFC3339),
		"self": self, "file": self + "/file", "schema": "/v2/schemas/image",
	}
	if i.hash != nil {
		v["os_hash_algo"] = "sha512"
		if i.disk != nil && *i.disk == "raw" {
			v["virtual_size"] = i.size
		}
	}
	for name, value := range i.properties {
		if _, base := v[name]; !base {
			v[name] = value
		}
	}
	return v
}

// notification is an image in a notification's payload.
func (i *image) notification() map[string]any {
	v := i.view()
	for _, field := range []string{"self", "file", "schema", "os_hash_algo", "os_hash_value", "os_hidden"} {
		delete(v, field)
	}
	for name := range i.properties {
		delete(v, name)
	}
	v["is_public"], v["properties"] = i.visibility == public, i.properties
	v["deleted"], v["deleted_at"] = i.status == deleted, nil
	if i.status == deleted {
		v["deleted_at"] = v["updated_at"]
	}
	return v
}

// seenBy tells whether a caller may see the image by its id.
func (i *image) seenBy(c *service.Caller) bool {
	return i.ownedBy(c) || i.visibility == public || i.visibility == community
}

func (i *image) ownedBy(c *service.Caller) bool { return c.Admin() || c.ProjectID == i.owner }

var (
	readOnly = []string{
		"status", "created_at", "updated_at", "checksum", "size", "virtual_size", "self", "file", "schema", "direct_url", "locations", "os_hash_algo",
		"os_hash_value",
	}
	diskFormats      = []string{"ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop"}
	containerFormats = []string{"ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed"}
	visibilities     = []string{community, public, private, shared}
	idForm           = regexp.MustCompile(`^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$`)
)

func mismatch(format string, a ...any) *refusal {
	return badRequest("Provided object does not match schema 'image': "+format, a...)
}

// set gives a field of an image, or a property of it, a value from a request.
func (i *image) set(c *call, field string, raw json.RawMessage) *refusal {
	if slices.Contains(readOnly, field) {
		return forbidden("Attribute '%s' is read-only.", field)
	}
	switch field {
	case "id":
		var id string
		if r := read(raw, &id, "string"); r != nil {
			return r
		}
		if !idForm.MatchString(id) {
			return mismatch("'%s' does not match '%s'", id, idForm)
		}
		i.id = id
	case "name":
		return readText(raw, &i.name)
	case "owner":
		var owner string
		if r := read(raw, &owner, "string"); r != nil {
			return r
		}
		if !c.caller.Admin() && owner != c.caller.ProjectID {
			return forbidden("You are not permitted to create images owned by '%s'.", owner)
		}
		i.owner = owner
	case "visibility":
		var visibility string
		if r := read(raw, &visibility, "string"); r != nil {
			return r
		}
		if !slices.Contains(visibilities, visibility) {
			return mismatch("'%s' is not one of ['%s']", visibility, strings.Join(visibilities, "', '"))
		}
		if visibility == public && !c.caller.Admin() {
			return forbidden("You are not authorized to complete publicize_image action.")
		}
		i.visibility = visibility
	case "disk_format":
		return i.setFormat(raw, field, &i.disk, diskFormats)
	case "container_format":
		return i.setFormat(raw, field, &i.container, containerFormats)
	case "min_disk":
		return readCount(raw, field, &i.minDisk)
	case "min_ram":
		return readCount(raw, field, &i.minRAM)
	case "protected":
		return read(raw, &i.protected, "boolean")
	case "os_hidden":
		return read(raw, &i.hidden, "boolean")
	case "tags":
		var tags []string
		if r := read(raw, &tags, "array"); r != nil {
			return r
		}
		i.tags = []string{}
		for _, tag := range tags {
			if r := i.addTag(tag); r != nil {
				return r
			}
		}
	default:
		var value string
		if r := read(raw, &value, "string"); r != nil {
			return r
		}
		i.properties[field] = value
	}
	return nil
}

func (i *image) setFormat(raw json.RawMessage, field string, to **string, known []string) *refusal {
	if i.status != queued {
		return forbidden("Attribute %s can be only replaced for a queued image.", field)
	}
	var format *string
	if r := readText(raw, &format); r != nil {
		return r
	}
	if format != nil && !slices.Contains(known, *format) {
		return mismatch("'%s' is not one of [None, '%s']", *format, strings.Join(known, "', '"))
	}
	*to = format
	return nil
}

// mostTags is Glance's image_tag_quota.
const mostTags = 128

func (i *image) addTag(tag string) *refusal {
	switch {
	case utf8.RuneCountInString(tag) > 255:
		return badRequest("Image tag '%s' is too long: 255 characters are the most", tag)
	case slices.Contains(i.tags, tag):
		return nil
	case len(i.tags) >= mostTags:
		return &refusal{status: 413, message: fmt.Sprintf("Attempted: %d, Maximum: %d", len(i.tags)+1, mostTags)}
	}
	i.tags = append(i.tags, tag)
	return nil
}

func read(raw json.RawMessage, v any, kind string) *refusal {
	if string(raw) == "null" || json.Unmarshal(raw, v) != nil {
		return mismatch("%s is not of type '%s'", raw, kind)
	}
	return nil
}

// readText reads a text or null.
func readText(raw json.RawMessage, v **string) *refusal {
	var text *string
	if json.Unmarshal(raw, &text) != nil {
		return mismatch("%s is not of type 'null', 'string'", raw)
	}
	if text != nil && utf8.RuneCountInString(*text) > 255 {
		return mismatch("'%s' is too long", *text)
	}
	*v = text
	return nil
}

func readCount(raw json.RawMessage, field string, v *int) *refusal {
	var n int
	if r := read(raw, &n, "integer"); r != nil {
		return r
	}
	if n < 0 {
		return badRequest("Invalid value '%d' for parameter '%s': Cannot be a negative value", n, field)
	}
	*v = n
	return nil
}
