package cloud

import (
	"context"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
)

// SetServerMetadata writes these keys of a server and leaves its others. Nova takes them once the server is built.
func (c *Cloud) SetServerMetadata(ctx context.Context, id string, metadata map[string]string) error {
	if len(metadata) == 0 {
		return nil
	}
	return c.call(ctx, "writing metadata of server", id, func(ctx context.Context) error {
		server, err := segment("the server's ID", id)
		if err != nil {
			return err
		}
		return servers.UpdateMetadata(ctx, c.compute, server, servers.MetadataOpts(metadata)).Err
	})
}

// DeleteServerMetadata removes a key of a server. A key that is not there is ErrNotFound, as a server that is not.
func (c *Cloud) DeleteServerMetadata(ctx context.Context, id, key string) error {
	return c.call(ctx, "removing metadata "+key+" of server", id, func(ctx context.Context) error {
		server, err := segment("the server's ID", id)
		if err != nil {
			return err
		}
		escaped, err := segment("the key", key)
		if err != nil {
			return err
		}
		return servers.DeleteMetadatum(ctx, c.compute, server, escaped).Err
	})
}
