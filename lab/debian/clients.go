package debian

import (
	"context"
	"fmt"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
)

const region = "RegionOne"

// computeMicroversion is high enough for hypervisors by UUID, and below 2.88, from which on the list asks each compute node and
// waits a minute for one that is just starting.
const computeMicroversion = "2.79"

// Admin is how gophercloud logs in as the administrator, in the project of desktops.
func (l *Lab) Admin() gophercloud.AuthOptions { return l.administrator(project) }

func (l *Lab) administrator(projectName string) gophercloud.AuthOptions {
	return gophercloud.AuthOptions{
		IdentityEndpoint: l.AuthURL(), Username: "admin", Password: l.secrets.Admin, DomainName: "Default", AllowReauth: true,
		Scope: &gophercloud.AuthScope{ProjectName: projectName, DomainName: "Default"},
	}
}

// provider is the administrator's session, which all checks share: a login costs Keystone more than what is asked then.
func (l *Lab) provider(ctx context.Context) (*gophercloud.ProviderClient, error) {
	l.sessionMu.Lock()
	defer l.sessionMu.Unlock()
	if l.session == nil {
		session, err := openstack.AuthenticatedClient(ctx, l.administrator("admin"))
		if err != nil {
			return nil, fmt.Errorf("logging the administrator in: %w", err)
		}
		l.session = session
	}
	return l.session, nil
}

func (l *Lab) forgetSession() {
	l.sessionMu.Lock()
	defer l.sessionMu.Unlock()
	l.session = nil
}

type newClient func(*gophercloud.ProviderClient, gophercloud.EndpointOpts) (*gophercloud.ServiceClient, error)

func (l *Lab) client(ctx context.Context, of newClient) (*gophercloud.ServiceClient, error) {
	provider, err := l.provider(ctx)
	if err != nil {
		return nil, err
	}
	return of(provider, gophercloud.EndpointOpts{Region: region})
}

func (l *Lab) compute(ctx context.Context) (*gophercloud.ServiceClient, error) {
	c, err := l.client(ctx, openstack.NewComputeV2)
	if err == nil {
		c.Microversion = computeMicroversion
	}
	return c, err
}

func (l *Lab) network(ctx context.Context) (*gophercloud.ServiceClient, error) {
	return l.client(ctx, openstack.NewNetworkV2)
}
