package control

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

// order is a request for a fault.
type order struct {
	ID       string
	Duration duration
	kind     kind
	fault    fault
}

// maxBody is far more than any order takes.
const maxBody = 64 << 10

// common are the fields of every order.
var common = []string{"type", "id", "duration"}

var goodID = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$`)

// read reads an order. Fields that its type does not have are refused.
func (c *Control) read(r *http.Request) (*order, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil, fmt.Errorf("reading the request: %w", err)
	}
	if len(body) > maxBody {
		return nil, &refusal{http.StatusRequestEntityTooLarge, "bad-request", "The request is too large."}
	}
	var given map[string]json.RawMessage
	if err := json.Unmarshal(body, &given); err != nil {
		return nil, badRequest("A fault is one JSON object: " + err.Error())
	}
	o := &order{}
	var name string
	for field, to := range map[string]any{"type": &name, "id": &o.ID, "duration": &o.Duration} {
		if value, ok := given[field]; ok {
			if err := json.Unmarshal(value, to); err != nil {
				return nil, badRequest(field + ": " + err.Error())
			}
		}
		delete(given, field)
	}
	if o.ID != "" && !goodID.MatchString(o.ID) {
		return nil, badRequest("An id is of up to 64 letters, digits, dots, hyphens and underscores.")
	}
	if o.kind, err = c.kind(name); err != nil {
		return nil, err
	}
	o.fault = o.kind.make()
	known := parameters(o.fault)
	for _, field := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(known, field) {
			return nil, badRequest(fmt.Sprintf("%q is no field of a fault of type %s: these are %s.", field, name,
				strings.Join(slices.Concat(common, known), ", ")))
		}
	}
	rest, err := json.Marshal(given)
	if err != nil {
		return nil, err
	}
	if err := json.NewDecoder(bytes.NewReader(rest)).Decode(o.fault); err != nil {
		return nil, badRequest(err.Error())
	}
	return o, nil
}

func (c *Control) kind(name string) (kind, error) {
	var names []string
	for _, k := range c.types {
		if k.name == name {
			return k, nil
		}
		names = append(names, k.name)
	}
	return kind{}, badRequest(fmt.Sprintf("There is no type %q of faults: these are %s.", name, strings.Join(names, ", ")))
}

// parameters are the names of a fault's fields, as JSON has them.
func parameters(f fault) []string {
	names := []string{}
	for _, field := range reflect.VisibleFields(reflect.TypeOf(f).Elem()) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// duration is written as time.ParseDuration reads it, such as "1m30s".
type duration time.Duration

func (d *duration) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf(`%s is no duration such as "30s"`, text)
	}
	parsed, err := time.ParseDuration(s)
	if err != nil || parsed < 0 {
		return fmt.Errorf("%q is no duration such as \"30s\"", s)
	}
	*d = duration(parsed)
	return nil
}

func (d duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// service is the name of one of the cloud's.
type service string

func services() []string { return []string{"keystone", "nova", "placement", "glance", "neutron"} }

func serviceNames() string { return strings.Join(services(), ", ") }

func (s *service) UnmarshalJSON(text []byte) error {
	var name string
	if err := json.Unmarshal(text, &name); err != nil || !slices.Contains(services(), name) {
		return fmt.Errorf("%s is no service: these are %s", text, serviceNames())
	}
	*s = service(name)
	return nil
}
