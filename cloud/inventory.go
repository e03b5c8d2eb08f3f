package cloud

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gophercloud/gophercloud/v2"
)

// ServerState is what an Inventory keeps of a server.
type ServerState struct {
	ID         string
	Status     string // as in Server
	TaskState  string
	PowerState int    // Nova's: 0 no state, 1 running, 3 paused, 4 shut down, 6 crashed, 7 suspended
	Fault      string // why Status is ERROR
	Host       string // the compute service's host; administrators only
	Zone       string // the availability zone
	Updated    time.Time
}

// UnmarshalJSON reads the server of Nova's API.
func (s *ServerState) UnmarshalJSON(text []byte) error {
	var wire struct {
		ID         string `json:"id"`
		Status     string `json:"status"`
		TaskState  string `json:"OS-EXT-STS:task_state"`
		PowerState int    `json:"OS-EXT-STS:power_state"`
		Fault      struct {
			Message string `json:"message"`
		} `json:"fault"`
		Host    string    `json:"OS-EXT-SRV-ATTR:host"`
		Zone    string    `json:"OS-EXT-AZ:availability_zone"`
		Updated time.Time `json:"updated"`
	}
	if err := json.Unmarshal(text, &wire); err != nil {
		return err
	}
	*s = ServerState{
		ID: wire.ID, Status: wire.Status, TaskState: wire.TaskState, PowerState: wire.PowerState, Fault: shorten(wire.Fault.Message),
		Host: wire.Host, Zone: wire.Zone, Updated: wire.Updated,
	}
	return nil
}

const (
	// inventoryPage is the most that Nova gives in a page unless told otherwise ([api] max_limit).
	inventoryPage = 1000
	// inventoryOverlap is how far an Inventory looks back: a change is seen in Nova's database some time after its time.
	inventoryOverlap = time.Minute
)

// Inventory knows the state of all servers of a cloud, of all projects. It lists them once, and then asks what has changed,
// because a list of ten thousand costs Nova seconds. It is for one goroutine.
type Inventory struct {
	cloud   *Cloud
	refresh time.Duration

	servers map[string]ServerState
	since   time.Time // all changes before are known, by the cloud's clock; zero: list all
	listed  time.Time // when all were listed
}

// NewInventory makes an inventory that lists all servers anew when the last list is older than refresh: what a change's
// notice misses, such as a server that was removed from Nova's database, heals then.
func (c *Cloud) NewInventory(refresh time.Duration) *Inventory {
	return &Inventory{cloud: c, refresh: refresh}
}

// Servers brings the inventory up to date and returns it, by the servers' IDs. The map is the inventory's own: it changes with
// the next call. After an error the next call asks the same again.
func (i *Inventory) Servers(ctx context.Context) (map[string]ServerState, error) {
	now := i.cloud.session.clock.Now()
	if i.since.IsZero() || now.Sub(i.listed) >= i.refresh {
		all := make(map[string]ServerState, len(i.servers))
		at, err := i.list(ctx, time.Time{}, all)
		if err != nil {
			return nil, err
		}
		i.servers, i.since, i.listed = all, at, now
		return i.servers, nil
	}
	changed := map[string]ServerState{}
	at, err := i.list(ctx, i.since.Add(-inventoryOverlap), changed)
	if err != nil {
		return nil, err
	}
	for id, s := range changed {
		if s.Status == "DELETED" || s.Status == "SOFT_DELETED" {
			delete(i.servers, id)
		} else {
			i.servers[id] = s
		}
	}
	i.since = at
	return i.servers, nil
}

// list reads servers into a map, and returns when it began, by the cloud's clock: that of the first answer's Date, or, without
// one, of the newest change.
func (i *Inventory) list(ctx context.Context, since time.Time, into map[string]ServerState) (at time.Time, err error) {
	type page struct {
		Servers []ServerState      `json:"servers"`
		Links   []gophercloud.Link `json:"servers_links"`
	}
	c := i.cloud
	query := url.Values{"all_tenants": {"true"}, "limit": {strconv.Itoa(inventoryPage)}}
	op := "listing all servers"
	if !since.IsZero() {
		op = "listing changed servers"
		query.Set("changes-since", since.UTC().Format(time.RFC3339))
	}
	err = c.call(ctx, op, "", func(ctx context.Context) error {
		clear(into)
		at = time.Time{}
		newest := since.Add(inventoryOverlap)
		take := func(p page, header http.Header) (string, error) {
			if date, err := http.ParseTime(header.Get("Date")); err == nil && at.IsZero() {
				at = date
			}
			for _, s := range p.Servers {
				into[s.ID] = s
				if s.Updated.After(newest) {
					newest = s.Updated
				}
			}
			return gophercloud.ExtractNextURL(p.Links)
		}
		err := eachAnswer(ctx, c.compute, c.compute.ServiceURL("servers", "detail"), query, take)
		if at.IsZero() {
			at = newest
		}
		return err
	})
	return at, err
}
