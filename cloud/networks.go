package cloud

import (
	"context"
	"fmt"
	"net/url"

	"github.com/gophercloud/gophercloud/v2"
)

// Network is the ID of the network with exactly this name or ID: ErrNotFound, or ErrAmbiguous, when it is not one.
func (c *Cloud) Network(ctx context.Context, nameOrID string) (id string, err error) {
	type page struct {
		Networks []named            `json:"networks"`
		Links    []gophercloud.Link `json:"networks_links"`
	}
	err = c.call(ctx, "looking for network", nameOrID, func(ctx context.Context) error {
		if c.network == nil {
			return fmt.Errorf("%w: the catalog has no network service", ErrNotOffered)
		}
		var err error
		id, err = pickBy(ctx, c.network, "networks", nameOrID, url.Values{"fields": {"id", "name"}},
			func(p page) ([]named, string, error) {
				next, err := gophercloud.ExtractNextURL(p.Links)
				return p.Networks, next, err
			})
		return err
	})
	return id, err
}
