package sim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/deskstorm/deskstorm/lab/sim/glance"
	"github.com/deskstorm/deskstorm/lab/sim/hardware"
	"github.com/deskstorm/deskstorm/lab/sim/keystone"
	"github.com/deskstorm/deskstorm/lab/sim/lease"
	"github.com/deskstorm/deskstorm/lab/sim/neutron"
	"github.com/deskstorm/deskstorm/lab/sim/notify"
	"github.com/deskstorm/deskstorm/lab/sim/nova"
	"github.com/deskstorm/deskstorm/lab/sim/placement"
	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// Lab is a running cloud. Its methods may be called by many goroutines at once.
type Lab struct {
	AuthURL string // Keystone's, as OS_AUTH_URL has it

	// The services, for what tests want to know of them beside their APIs.
	Keystone  *keystone.Keystone
	Nova      *nova.Nova
	Placement *placement.Placement
	Glance    *glance.Glance
	Neutron   *neutron.Neutron
	DHCP      *lease.Table // of the servers' ports
	// Notifications go to Config.NotificationURL; nil without one.
	Notifications *notify.Publisher

	// Hardware is what the servers run on, with Config.Physics; else nil.
	Hardware *hardware.Hardware

	config  Config
	screens *Screens // nil: the desktops are the starter's
	server  *http.Server
	served  chan error
	front   *front
	close   func() error
}

// closeTimeout bounds what Close waits for requests that are being answered.
const closeTimeout = 2 * time.Second

// Start starts a lab. The context bounds the start only: the lab runs until Close.
func Start(ctx context.Context, c Config) (*Lab, error) {
	lab, err := start(ctx, c.withDefaults())
	if err != nil {
		return nil, fmt.Errorf("starting the simulated cloud: %w", err)
	}
	return lab, nil
}

func start(ctx context.Context, c Config) (_ *Lab, err error) {
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return nil, err
	}
	l := &Lab{config: c, served: make(chan error, 1)}
	defer func() {
		if err != nil {
			_ = listener.Close()
			if l.Nova != nil {
				l.Nova.Close()
			}
			l.closeHardware()
			l.closeScreens()
			l.closeNotifications()
		}
	}()
	if err := l.openNotifications(); err != nil {
		return nil, err
	}
	if err := l.makeServices("http://" + listener.Addr().String()); err != nil {
		return nil, err
	}
	if err := l.addServers(); err != nil {
		return nil, err
	}
	l.front = newFront(c.Seed, l.identity(), map[string]backend{
		"identity": {"keystone", l.Keystone}, "compute": {"nova", l.Nova}, "placement": {"placement", l.Placement},
		"image": {"glance", l.Glance}, "network": {"neutron", l.Neutron},
	})
	l.close = sync.OnceValue(l.shutDown)
	l.server = &http.Server{Handler: l.front, ReadHeaderTimeout: time.Minute}
	go func() { l.served <- l.server.Serve(listener) }()
	return l, nil
}

// identity is where services send those without a token: to Keystone without its version, as www_authenticate_uri of
// keystonemiddleware commonly has it.
func (l *Lab) identity() string { return strings.TrimSuffix(l.AuthURL, "/v3") }

func (l *Lab) makeServices(base string) (err error) {
	c := l.config
	member, admin := []string{"member", "reader"}, []string{"admin", "member", "reader"}
	l.Keystone, err = keystone.New(keystone.Config{
		URL: base + "/identity", Region: Region, Projects: []string{AdminProject, Project},
		Local: []keystone.LocalUser{{
			Name: AdminUser, Password: c.AdminPassword, Roles: map[string][]string{AdminProject: admin, Project: admin},
		}},
		Users: c.Users, UserRoles: map[string][]string{Project: member}, Lifetime: c.TokenLifetime, Now: c.Now, InsecureDebug: c.InsecureDebug,
		Notifier: l.notifier("keystone", notify.Unversioned),
		Catalog: []keystone.Endpoint{
			{Type: "compute", Name: "nova", URL: base + "/compute/v2.1"}, {Type: "placement", Name: "placement", URL: base + "/placement"},
			{Type: "image", Name: "glance", URL: base + "/image"}, {Type: "network", Name: "neutron", URL: base + "/network"},
		},
	})
	if err != nil {
		return err
	}
	l.AuthURL = l.Keystone.URL()
	identity := l.identity()
	owner := l.Keystone.ProjectID(AdminProject)
	var tokens service.Tokens = l.Keystone

	var providers []placement.Provider
	var hosts []nova.Host
	var names []string
	for _, h := range c.Hosts {
		p := h.provider()
		providers, hosts, names = append(providers, p), append(hosts, nova.Host{ID: p.ID, Name: p.Name}), append(names, p.Name)
	}
	if l.Placement, err = placement.New(placement.Config{Tokens: tokens, Identity: identity, Providers: providers}); err != nil {
		return err
	}
	l.Glance, err = glance.New(glance.Config{
		URL: base + "/image", Tokens: tokens, Identity: identity, Owner: owner, Images: c.Images, Now: c.Now,
		Notifier: l.notifier("glance", notify.Unversioned),
	})
	if err != nil {
		return err
	}
	l.Neutron, err = neutron.New(neutron.Config{
		URL: base + "/network", Tokens: tokens, Identity: identity, Owner: owner, Networks: c.Networks, Hosts: names, Now: c.Now,
		Notifier: l.notifier("neutron", notify.Unversioned),
	})
	if err != nil {
		return err
	}
	times, err := c.Lease.WithDefaults()
	if err != nil {
		return err
	}
	if l.DHCP, err = lease.New(times, c.Now); err != nil {
		return err
	}
	desktops := c.Desktops
	if desktops == nil {
		l.screens = NewScreens(c.Screen)
		desktops = l.screens
	}
	var unversioned, versioned service.Notifier // nil where nobody listens: Nova then makes none
	if l.Notifications != nil {
		unversioned, versioned = l.notifier("nova", notify.Unversioned), l.notifier("nova", notify.Versioned)
	}
	nc := nova.Config{
		URL: base + "/compute", Tokens: tokens, Identity: identity,
		Notifier: unversioned, Versioned: versioned,
		Placement: l.Placement, Neutron: l.Neutron, Glance: l.Glance, Desktops: leasing{desktops, l.DHCP},
		Hosts: hosts, Flavors: c.Flavors, Quota: c.Quota, Boot: c.Boot, Seed: c.Seed, BootsPerHost: c.BootsPerHost, ResumeGuests: c.ResumeGuests,
		SpiceDirect: c.SpiceDirect, MetadataFilter: c.MetadataFilter, Now: c.Now,
	}
	if c.Physics != nil {
		if err := l.startHardware(&nc, desktops); err != nil {
			return err
		}
	}
	l.Nova, err = nova.New(nc)
	return err
}

func (l *Lab) addServers() error {
	c := l.config
	if len(c.Servers) == 0 {
		return nil
	}
	if len(c.Flavors) == 0 || len(c.Images) == 0 {
		return errors.New("servers from the start need a flavor and an image")
	}
	var networks []string
	if len(c.Networks) > 0 {
		networks = []string{c.Networks[0].ID}
	}
	var seeds []nova.Seed
	for _, s := range c.Servers {
		seeds = append(seeds, nova.Seed{
			Name: s.Name, Metadata: s.Metadata, Tags: s.Tags, Status: s.Status, ID: s.ID,
			Flavor: c.Flavors[0].ID, Image: c.Images[0].ID, Networks: networks, Project: l.Keystone.ProjectID(Project),
		})
	}
	if err := l.Nova.Add(seeds); err != nil {
		return err
	}
	l.leaseEarlier()
	return l.resumeServers()
}

// Admin is how gophercloud logs in as the administrator, in the project "desktops".
func (l *Lab) Admin() gophercloud.AuthOptions {
	return gophercloud.AuthOptions{
		IdentityEndpoint: l.AuthURL, Username: AdminUser, Password: l.config.AdminPassword, DomainName: keystone.DefaultDomain,
		AllowReauth: true, Scope: &gophercloud.AuthScope{ProjectName: Project, DomainName: keystone.DefaultDomain},
	}
}

// Servers are all servers now, oldest first.
func (l *Lab) Servers() []Server { return l.Nova.Servers() }

// Server is one server; false if there is none of this id.
func (l *Lab) Server(id string) (Server, bool) { return l.Nova.Server(id) }

// FlavorID, ImageID and NetworkID are ids by name; empty for what there is not.
func (l *Lab) FlavorID(name string) string {
	for _, f := range l.config.Flavors {
		if f.Name == name {
			return f.ID
		}
	}
	return ""
}

// ImageID is an image's id by its name.
func (l *Lab) ImageID(name string) string {
	for _, i := range l.config.Images {
		if i.Name == name {
			return i.ID
		}
	}
	return ""
}

// NetworkID is the id by its name of a network that was there from the start.
func (l *Lab) NetworkID(name string) string {
	for _, n := range l.config.Networks {
		if n.Name == name {
			return n.ID
		}
	}
	return ""
}

// Close ends the lab: its API, what is being built, and all desktops. It takes at most seconds. Later calls return what the
// first one did.
func (l *Lab) Close() error { return l.close() }

func (l *Lab) shutDown() error {
	l.front.faults.close()
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := l.server.Shutdown(ctx); err != nil {
		_ = l.server.Close() // cuts who is still being answered
	}
	err := <-l.served
	l.Nova.Close()
	l.closeHardware()
	l.closeScreens()
	l.closeNotifications()
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("closing the simulated cloud: its API had failed: %w", err)
	}
	return nil
}

func (l *Lab) closeScreens() {
	if l.screens != nil {
		l.screens.Close()
	}
}
