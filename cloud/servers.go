package cloud

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
)

// Server is a virtual machine as Nova shows it. Some fields are shown to administrators only.
type Server struct {
	ID               string
	Name             string
	Status           string // ACTIVE, BUILD, ERROR, SHUTOFF ...; UNKNOWN when Nova cannot reach the cell that knows
	TaskState        string // what is being done with it, such as "spawning"; empty: nothing
	Fault            string // why Status is ERROR
	ProjectID        string
	UserID           string
	Flavor           string // its name when the server was made
	Host             string // the compute service's host; administrators only
	Hypervisor       string // the hypervisor's name; administrators only
	InstanceName     string // libvirt's name of the domain; administrators only
	AvailabilityZone string
	Metadata         map[string]string
	Tags             []string
	Addresses        []Address
	Created, Updated time.Time
}

// Address is a port of a server.
type Address struct {
	IP  string
	MAC string // "fa:16:3e:12:34:56"
}

// UnmarshalJSON reads the server of Nova's API, microversion 2.52 and above.
func (s *Server) UnmarshalJSON(text []byte) error {
	var wire struct {
		ID        string `json:"id"`
		Name      string `json:"name"`
		Status    string `json:"status"`
		TaskState string `json:"OS-EXT-STS:task_state"`
		Fault     struct {
			Message string `json:"message"`
		} `json:"fault"`
		ProjectID string `json:"tenant_id"`
		UserID    string `json:"user_id"`
		Flavor    struct {
			Name string `json:"original_name"`
		} `json:"flavor"`
		Host         string            `json:"OS-EXT-SRV-ATTR:host"`
		Hypervisor   string            `json:"OS-EXT-SRV-ATTR:hypervisor_hostname"`
		InstanceName string            `json:"OS-EXT-SRV-ATTR:instance_name"`
		Zone         string            `json:"OS-EXT-AZ:availability_zone"`
		Metadata     map[string]string `json:"metadata"`
		Tags         []string          `json:"tags"`
		Addresses    map[string][]struct {
			IP  string `json:"addr"`
			MAC string `json:"OS-EXT-IPS-MAC:mac_addr"`
		} `json:"addresses"`
		Created time.Time `json:"created"`
		Updated time.Time `json:"updated"`
	}
	if err := json.Unmarshal(text, &wire); err != nil {
		return err
	}
	*s = Server{
		ID: wire.ID, Name: wire.Name, Status: wire.Status, TaskState: wire.TaskState, Fault: wire.Fault.Message,
		ProjectID: wire.ProjectID, UserID: wire.UserID, Flavor: wire.Flavor.Name,
		Host: wire.Host, Hypervisor: wire.Hypervisor, InstanceName: wire.InstanceName, AvailabilityZone: wire.Zone,
		Metadata: wire.Metadata, Tags: wire.Tags, Created: wire.Created, Updated: wire.Updated,
	}
	for _, network := range slices.Sorted(maps.Keys(wire.Addresses)) {
		for _, a := range wire.Addresses[network] {
			s.Addresses = append(s.Addresses, Address{IP: a.IP, MAC: a.MAC})
		}
	}
	return nil
}

// ServerSpec is what a server shall be.
type ServerSpec struct {
	Name             string
	FlavorID         string
	ImageID          string
	Networks         []string // IDs; empty: the server gets no network
	Metadata         map[string]string
	Tags             []string
	AvailabilityZone string // empty: Nova chooses
	UserData         []byte // not base64; at most 48 KiB or so
}

// CreateServer asks for a server and does not wait for it: the answer has its ID, and the status BUILD until Server says
// otherwise. Owner and run are added to its metadata and tags.
//
// When no answer came (Error.Status 0), or that of a proxy (502, 504), there may be a server all the same. It is not asked
// for again: look for its name or its run's tag.
func (c *Cloud) CreateServer(ctx context.Context, spec ServerSpec) (Server, error) {
	var made Server
	userData := base64.StdEncoding.EncodeToString(spec.UserData)
	// Nova quotes what it does not like, and user data may hold passwords.
	err := c.call(ctx, "creating server", spec.Name, func(ctx context.Context) error {
		if spec.Name == "" || spec.FlavorID == "" || spec.ImageID == "" {
			return errors.New("it needs a name, a flavor and an image")
		}
		for _, tag := range spec.Tags {
			if err := checkTag(tag); err != nil {
				return err
			}
		}
		opts := servers.CreateOpts{
			Name: spec.Name, FlavorRef: spec.FlavorID, ImageRef: spec.ImageID, AvailabilityZone: spec.AvailabilityZone,
		}
		opts.Metadata, opts.Tags = c.config.marked(spec.Metadata, spec.Tags)
		if len(spec.UserData) > 0 {
			opts.UserData = []byte(userData) // gophercloud leaves alone what looks like base64, as a script may
		}
		opts.Networks = "none"
		if len(spec.Networks) > 0 {
			networks := make([]servers.Network, len(spec.Networks))
			for i, id := range spec.Networks {
				networks[i].UUID = id
			}
			opts.Networks = networks
		}
		var answer struct {
			ID string `json:"id"`
		}
		if err := servers.Create(ctx, c.compute, opts, nil).ExtractIntoStructPtr(&answer, "server"); err != nil {
			return err
		}
		if answer.ID == "" {
			return errors.New("the cloud took it and gave no ID; look for the server by its name")
		}
		made = Server{ID: answer.ID, Name: spec.Name, Status: "BUILD", Metadata: opts.Metadata, Tags: opts.Tags}
		return nil
	}, userData, string(spec.UserData))
	return made, err
}

// Server is a server as it is now; ErrNotFound when it is gone.
func (c *Cloud) Server(ctx context.Context, id string) (Server, error) {
	var answer struct {
		Server Server `json:"server"`
	}
	err := c.withServer(ctx, "reading server", id, func(ctx context.Context, address string) error {
		_, err := c.compute.Get(ctx, address, &answer, nil)
		return err
	})
	return answer.Server, err
}

// Filter says which servers. All that is set must fit; the zero Filter is all servers of the project.
type Filter struct {
	Name         string            // exactly
	Status       string            // such as ACTIVE
	Metadata     map[string]string // the server has all of these
	Tags         []string          // the server has all of these
	AllProjects  bool              // administrators only
	ChangesSince time.Time         // not zero: only those that changed since, deleted ones included (status DELETED)
}

// Servers lists servers, all pages of them. What Nova overlooks in a filter is filtered here: a filter by metadata costs a
// list of all servers where Nova is not patched to know it, so filter by tags where there are many.
func (c *Cloud) Servers(ctx context.Context, filter Filter) ([]Server, error) {
	all, _, err := c.ServersAt(ctx, filter)
	return all, err
}

// ServersAt is Servers with when the list began, by the cloud's clock, for the next list's ChangesSince: that of the first answer's
// Date, or this machine's if there is none.
func (c *Cloud) ServersAt(ctx context.Context, filter Filter) (all []Server, at time.Time, err error) {
	type page struct {
		Servers []Server           `json:"servers"`
		Links   []gophercloud.Link `json:"servers_links"`
	}
	err = c.call(ctx, "listing servers", "", func(ctx context.Context) error {
		query, err := filter.query()
		if err != nil {
			return err
		}
		list := func() error {
			all, at = nil, time.Time{}
			began := c.session.clock.Now()
			return eachAnswer(ctx, c.compute, c.compute.ServiceURL("servers", "detail"), query, func(p page, header http.Header) (string, error) {
				if at.IsZero() {
					at = began
					if date, err := http.ParseTime(header.Get("Date")); err == nil {
						at = date
					}
				}
				for _, s := range p.Servers {
					if filter.matches(s) {
						all = append(all, s)
					}
				}
				return gophercloud.ExtractNextURL(p.Links)
			})
		}
		if c.config.shared.refusesMetadata.Load() {
			query.Del(metadataFilter)
		}
		err = list()
		if query.Has(metadataFilter) && refusesFilter(err) {
			c.config.shared.refusesMetadata.Store(true)
			query.Del(metadataFilter)
			err = list()
		}
		return err
	})
	if err != nil {
		return nil, time.Time{}, err // not half of them
	}
	return all, at, nil
}

// metadataFilter is a parameter that Nova ignores for most users and refuses for administrators ("Invalid filter field:
// metadata.", nova/api/openstack/compute/servers.py), but for patched ones.
const metadataFilter = "metadata"

func refusesFilter(err error) bool {
	var answer gophercloud.ErrUnexpectedResponseCode
	return errors.As(err, &answer) && answer.Actual == http.StatusBadRequest
}

// plain is what means itself in a regular expression: from 2.75 on, Nova refuses filters that are none.
var plain = regexp.MustCompile(`^[A-Za-z0-9 _:=@-]*$`)

func (f Filter) query() (url.Values, error) {
	q := url.Values{}
	if f.Name != "" {
		q.Set("name", "^"+regexp.QuoteMeta(f.Name)+"$")
	}
	if f.Status != "" {
		q.Set("status", f.Status)
	}
	if len(f.Metadata) > 0 {
		simple := true
		for key, value := range f.Metadata {
			simple = simple && plain.MatchString(key) && plain.MatchString(value)
		}
		if simple {
			text, err := json.Marshal(f.Metadata)
			if err != nil {
				return nil, fmt.Errorf("writing the metadata to look for: %w", err)
			}
			q.Set(metadataFilter, string(text))
		}
	}
	for _, tag := range f.Tags {
		if err := checkTag(tag); err != nil {
			return nil, err
		}
	}
	if len(f.Tags) > 0 {
		q.Set("tags", strings.Join(f.Tags, ","))
	}
	if f.AllProjects {
		q.Set("all_tenants", "true")
	}
	if !f.ChangesSince.IsZero() {
		q.Set("changes-since", f.ChangesSince.UTC().Format(time.RFC3339))
	}
	return q, nil
}

func (f Filter) matches(s Server) bool {
	if f.Name != "" && s.Name != f.Name || f.Status != "" && !strings.EqualFold(s.Status, f.Status) {
		return false
	}
	for key, value := range f.Metadata {
		if has, ok := s.Metadata[key]; !ok || has != value {
			return false
		}
	}
	for _, tag := range f.Tags {
		if !slices.Contains(s.Tags, tag) {
			return false
		}
	}
	return true
}

// DeleteServer removes a server. Nova takes a while for it: Server says ErrNotFound when it is done. A server that is gone
// already is fine.
func (c *Cloud) DeleteServer(ctx context.Context, id string) error {
	return c.withServer(ctx, "deleting server", id, func(ctx context.Context, address string) error {
		_, err := c.compute.Delete(ctx, address, nil)
		return goneIsFine(err)
	})
}

// StartServer boots a server that is stopped; one that runs is ErrConflict.
func (c *Cloud) StartServer(ctx context.Context, id string) error {
	return c.act(ctx, "starting server", id, map[string]any{"os-start": nil})
}

// StopServer shuts a server down; one that does not run is ErrConflict.
func (c *Cloud) StopServer(ctx context.Context, id string) error {
	return c.act(ctx, "stopping server", id, map[string]any{"os-stop": nil})
}

// RebootServer cuts a server's power and boots it: a desktop that hangs does not listen to anything gentler.
func (c *Cloud) RebootServer(ctx context.Context, id string) error {
	return c.act(ctx, "rebooting server", id, map[string]any{"reboot": map[string]string{"type": "HARD"}})
}

func (c *Cloud) act(ctx context.Context, op, id string, action map[string]any) error {
	return c.withServer(ctx, op, id, func(ctx context.Context, address string) error {
		_, err := c.compute.Post(ctx, address+"/action", action, nil, nil)
		return err
	})
}

func (c *Cloud) withServer(ctx context.Context, op, id string, f func(ctx context.Context, address string) error) error {
	return c.call(ctx, op, id, func(ctx context.Context) error {
		server, err := segment("the server's ID", id)
		if err != nil {
			return err
		}
		return f(ctx, c.compute.ServiceURL("servers", server))
	})
}
