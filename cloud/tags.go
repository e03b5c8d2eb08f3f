package cloud

import (
	"context"
	"net/http"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/tags"
)

// TagServer puts a tag on a server and tells whether it is new. Nova decides that in one place, so of several who put the
// same tag one alone created it. When the answer was lost on the way (Error.Status 0), the tag may be there all the same.
func (c *Cloud) TagServer(ctx context.Context, id, tag string) (created bool, err error) {
	err = c.call(ctx, "tagging server", id, func(ctx context.Context) error {
		address, err := c.tagAddress(id, tag)
		if err != nil {
			return err
		}
		// tags.Add keeps the status to itself.
		resp, err := c.compute.Put(once(ctx), address, nil, nil, &gophercloud.RequestOpts{
			OkCodes: []int{http.StatusCreated, http.StatusNoContent},
		})
		created = err == nil && resp.StatusCode == http.StatusCreated
		return err
	})
	return created, err
}

// UntagServer removes a tag. A tag that is not there is fine, a server that is not is not distinguished from it.
func (c *Cloud) UntagServer(ctx context.Context, id, tag string) error {
	return c.call(ctx, "removing a tag of server", id, func(ctx context.Context) error {
		if _, err := c.tagAddress(id, tag); err != nil {
			return err
		}
		server, _ := segment("the server's ID", id)
		escaped, _ := segment("the tag", tag)
		return goneIsFine(tags.Delete(ctx, c.compute, server, escaped).Err)
	})
}

func (c *Cloud) tagAddress(id, tag string) (string, error) {
	server, err := segment("the server's ID", id)
	if err != nil {
		return "", err
	}
	if err := checkTag(tag); err != nil {
		return "", err
	}
	escaped, err := segment("the tag", tag)
	return c.compute.ServiceURL("servers", server, "tags", escaped), err
}

func goneIsFine(err error) error {
	if gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
		return nil
	}
	return err
}
