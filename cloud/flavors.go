package cloud

import (
	"context"
	"net/url"

	"github.com/gophercloud/gophercloud/v2"
)

// Flavor is the ID of the flavor with exactly this name or ID: ErrNotFound, or ErrAmbiguous, when it is not one.
func (c *Cloud) Flavor(ctx context.Context, nameOrID string) (id string, err error) {
	type page struct {
		Flavors []named            `json:"flavors"`
		Links   []gophercloud.Link `json:"flavors_links"`
	}
	err = c.call(ctx, "looking for flavor", nameOrID, func(ctx context.Context) error {
		var all []named
		// Otherwise administrators do not see private flavors, which desktops' often are; for others Nova ignores it.
		query := url.Values{"is_public": {"None"}}
		err := eachPage(ctx, c.compute, c.compute.ServiceURL("flavors"), query, func(p page) (string, error) {
			all = append(all, p.Flavors...)
			return gophercloud.ExtractNextURL(p.Links)
		})
		if err == nil {
			id, err = pick(all, nameOrID)
		}
		return err
	})
	return id, err
}
