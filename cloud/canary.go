package cloud

import (
	"context"
	"fmt"
	"net/http"

	"github.com/gophercloud/gophercloud/v2"
)

// Canary is a cheap question to one service, to learn whether it answers, and how fast. It changes nothing.
type Canary struct {
	// Operation is what the question shows: "version", that the service's process answers at all, to anybody; "list", that it
	// takes tokens and reads its database, by a list of one; "token", that Keystone lets people in.
	Operation string

	ask func(context.Context) error
}

// Ask asks. It retries as the Cloud's Config has it: give RetryFor a negative number to see what others see.
func (c Canary) Ask(ctx context.Context) error { return c.ask(ctx) }

// CanaryServices are those that Canaries knows, by their projects' names.
func CanaryServices() []string { return []string{"keystone", "nova", "placement", "glance", "neutron"} }

// Canaries are the questions to a service: ErrNotOffered if it is not in the catalog.
func (c *Cloud) Canaries(service string) ([]Canary, error) {
	list := func(kind *gophercloud.ServiceClient, question string) ([]Canary, error) {
		if kind == nil {
			return nil, fmt.Errorf("%w: the catalog has no %s", ErrNotOffered, service)
		}
		root, err := versioned(kind.Endpoint, "")
		if err != nil {
			return nil, err
		}
		return []Canary{c.get("version", service, client(c.session.below, "", root), ""), c.get("list", service, kind, question)}, nil
	}
	switch service {
	case "keystone":
		root, err := versioned(c.config.auth().IdentityEndpoint, "v3")
		if err != nil {
			return nil, err
		}
		token := Canary{"token", func(ctx context.Context) error {
			_, err := c.session.login(ctx)
			return err
		}}
		return []Canary{c.get("version", service, client(c.session.below, "", root), ""), token}, nil
	case "nova":
		return list(c.compute, "servers?limit=1")
	case "placement":
		return list(c.placement, "resource_providers?name=deskstorm-canary")
	case "glance":
		return list(c.image, "images?limit=1")
	case "neutron":
		return list(c.network, "networks?limit=1&fields=id")
	}
	return nil, fmt.Errorf("%w: there are no questions to %q", ErrNotOffered, service)
}

func (c *Cloud) get(operation, service string, kind *gophercloud.ServiceClient, question string) Canary {
	return Canary{operation, func(ctx context.Context) error {
		return c.call(ctx, "asking for a "+operation+" of", service, func(ctx context.Context) error {
			// Lists of versions are answered with 300 by some.
			_, err := kind.Get(ctx, kind.Endpoint+question, nil, &gophercloud.RequestOpts{
				OkCodes: []int{http.StatusOK, http.StatusMultipleChoices},
			})
			return err
		})
	}}
}
