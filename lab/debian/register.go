package debian

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/domains"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/endpoints"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/projects"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/roles"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/services"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/users"
)

// What the lab has in Keystone, as the simulated lab does.
const (
	project     = "desktops"
	usersDomain = "users" // of the directory's people, all of whom are members of the project
)

// register makes, where they are missing, the services' users and endpoints, the project of desktops, and the domain of the
// directory's people.
func (l *Lab) register(ctx context.Context) error {
	done := l.data("registered")
	if _, err := os.Stat(done); err == nil {
		return nil
	}
	identity, err := l.client(ctx, openstack.NewIdentityV3)
	if err != nil {
		return err
	}
	r := &registrar{ServiceClient: identity, lab: l}
	for _, step := range []func(context.Context) error{r.findRoles, r.addProjects, r.addServices, r.addDomain} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("registering the cloud with Keystone: %w", err)
		}
	}
	l.say("services, project and the directory's domain are registered with Keystone")
	l.forgetSession() // whose catalog has none of it
	return os.WriteFile(done, nil, 0o600)
}

// registrar adds to Keystone what is not there yet.
type registrar struct {
	*gophercloud.ServiceClient
	lab      *Lab
	roles    map[string]string // ids by name
	projects map[string]string
}

func (r *registrar) findRoles(ctx context.Context) error {
	if _, err := roles.Create(ctx, r.ServiceClient, roles.CreateOpts{Name: "service"}).Extract(); !isConflict(err) {
		return err
	}
	pages, err := roles.List(r.ServiceClient, roles.ListOpts{}).AllPages(ctx)
	if err != nil {
		return err
	}
	all, err := roles.ExtractRoles(pages)
	r.roles = map[string]string{}
	for _, role := range all {
		r.roles[role.Name] = role.ID
	}
	return err
}

// isConflict also takes no error for one: what there was to be is there.
func isConflict(err error) bool {
	return err == nil || gophercloud.ResponseCodeIs(err, http.StatusConflict)
}

func (r *registrar) addProjects(ctx context.Context) error {
	r.projects = map[string]string{}
	for _, name := range []string{"service", project} {
		if _, err := projects.Create(ctx, r.ServiceClient, projects.CreateOpts{Name: name, DomainID: "default"}).Extract(); !isConflict(err) {
			return fmt.Errorf("project %s: %w", name, err)
		}
		pages, err := projects.List(r.ServiceClient, projects.ListOpts{Name: name, DomainID: "default"}).AllPages(ctx)
		if err != nil {
			return err
		}
		all, err := projects.ExtractProjects(pages)
		if err != nil || len(all) != 1 {
			return fmt.Errorf("project %s: there are %d: %w", name, len(all), err)
		}
		r.projects[name] = all[0].ID
	}
	admin, err := r.user(ctx, "admin")
	if err != nil {
		return err
	}
	return r.grant(ctx, admin, project, "admin", "member")
}

func (r *registrar) user(ctx context.Context, name string) (id string, err error) {
	pages, err := users.List(r.ServiceClient, users.ListOpts{Name: name, DomainID: "default"}).AllPages(ctx)
	if err != nil {
		return "", err
	}
	all, err := users.ExtractUsers(pages)
	if err != nil || len(all) != 1 {
		return "", fmt.Errorf("user %s: there are %d: %w", name, len(all), err)
	}
	return all[0].ID, nil
}

func (r *registrar) grant(ctx context.Context, user, project string, names ...string) error {
	for _, name := range names {
		err := roles.Assign(ctx, r.ServiceClient, r.roles[name], roles.AssignOpts{UserID: user, ProjectID: r.projects[project]}).ExtractErr()
		if err != nil {
			return fmt.Errorf("role %s in project %s: %w", name, project, err)
		}
	}
	return nil
}

func (r *registrar) addServices(ctx context.Context) error {
	for _, s := range []struct{ name, kind, url string }{
		{"glance", "image", r.lab.url(9292)},
		{"placement", "placement", r.lab.url(8778)},
		{"nova", "compute", r.lab.url(8774) + "/v2.1"},
		{"neutron", "network", r.lab.url(9696)},
	} {
		_, err := users.Create(ctx, r.ServiceClient, users.CreateOpts{Name: s.name, Password: r.lab.secrets.Service, DomainID: "default"}).Extract()
		if !isConflict(err) {
			return fmt.Errorf("user %s: %w", s.name, err)
		}
		id, err := r.user(ctx, s.name)
		if err != nil {
			return err
		}
		if err := r.grant(ctx, id, "service", "admin", "service"); err != nil {
			return err
		}
		if err := r.addEndpoint(ctx, s.name, s.kind, s.url); err != nil {
			return fmt.Errorf("endpoint of %s: %w", s.name, err)
		}
	}
	return nil
}

func (r *registrar) addEndpoint(ctx context.Context, name, kind, url string) error {
	pages, err := services.List(r.ServiceClient, services.ListOpts{ServiceType: kind}).AllPages(ctx)
	if err != nil {
		return err
	}
	found, err := services.ExtractServices(pages)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		s, err := services.Create(ctx, r.ServiceClient, services.CreateOpts{Type: kind, Extra: map[string]any{"name": name}}).Extract()
		if err != nil {
			return err
		}
		found = append(found, *s)
	}
	id := found[0].ID
	list, err := endpoints.List(r.ServiceClient, endpoints.ListOpts{ServiceID: id}).AllPages(ctx)
	if err != nil {
		return err
	}
	there, err := endpoints.ExtractEndpoints(list)
	if err != nil {
		return err
	}
	have := map[gophercloud.Availability]bool{}
	for _, e := range there {
		have[e.Availability] = true
	}
	for _, availability := range []gophercloud.Availability{gophercloud.AvailabilityPublic, gophercloud.AvailabilityInternal, gophercloud.AvailabilityAdmin} {
		if have[availability] {
			continue
		}
		_, err := endpoints.Create(ctx, r.ServiceClient, endpoints.CreateOpts{
			ServiceID: id, Region: region, Availability: availability, Name: name, URL: url,
		}).Extract()
		if err != nil {
			return err
		}
	}
	return nil
}

// addDomain makes the domain whose users are in the directory, and those members of the project.
func (r *registrar) addDomain(ctx context.Context) error {
	if _, err := domains.Create(ctx, r.ServiceClient, domains.CreateOpts{Name: usersDomain}).Extract(); !isConflict(err) {
		return fmt.Errorf("domain %s: %w", usersDomain, err)
	}
	pages, err := domains.List(r.ServiceClient, domains.ListOpts{Name: usersDomain}).AllPages(ctx)
	if err != nil {
		return err
	}
	all, err := domains.ExtractDomains(pages)
	if err != nil || len(all) != 1 {
		return fmt.Errorf("domain %s: there are %d: %w", usersDomain, len(all), err)
	}
	domain := all[0].ID
	// The domain's configuration, which gophercloud does not have (Identity API v3, "Domain configuration").
	_, err = r.Put(ctx, r.ServiceURL("domains", domain, "config"), map[string]any{"config": r.lab.domainConfiguration()}, nil,
		&gophercloud.RequestOpts{OkCodes: []int{http.StatusOK, http.StatusCreated}})
	if err != nil {
		return fmt.Errorf("configuration of domain %s: %w", usersDomain, err)
	}
	list, err := groups.List(r.ServiceClient, groups.ListOpts{DomainID: domain}).AllPages(ctx)
	if err != nil {
		return fmt.Errorf("asking the directory, through Keystone, for its groups: %w", err)
	}
	found, err := groups.ExtractGroups(list)
	if err != nil || len(found) == 0 {
		return fmt.Errorf("there are %d groups in the directory: %w", len(found), err)
	}
	// All of them: Keystone does not look into groups within groups.
	for _, g := range found {
		err := roles.Assign(ctx, r.ServiceClient, r.roles["member"], roles.AssignOpts{GroupID: g.ID, ProjectID: r.projects[project]}).ExtractErr()
		if err != nil {
			return fmt.Errorf("making the directory's group %s a member of project %s: %w", g.Name, project, err)
		}
	}
	return nil
}

// domainConfiguration has Keystone look people up in the directory, as keystone.conf's sections [identity] and [ldap].
func (l *Lab) domainConfiguration() map[string]any {
	return map[string]any{
		"identity": map[string]any{"driver": "ldap"},
		"ldap": map[string]any{
			"url": l.LDAP(), "user": l.people.ServiceDN, "password": l.people.ServicePassword, "suffix": l.people.BaseDN, "query_scope": "sub",
			"user_tree_dn": l.people.BaseDN, "user_objectclass": "inetOrgPerson", "user_id_attribute": "uid", "user_name_attribute": "uid",
			"group_tree_dn": l.people.GroupBase(), "group_objectclass": "groupOfNames", "group_id_attribute": "cn", "group_name_attribute": "cn",
			"group_member_attribute": "member",
			"use_pool":               true, "pool_size": 10, "use_auth_pool": true, "auth_pool_size": 50,
		},
	}
}
