package qemu

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/deskstorm/deskstorm/hypervisor/qmp"
)

// MigrateTo moves the guest to the desktop to, which must have been started with Incoming, and tells a connected client
// to follow: to must then take the same ticket. It returns when the guest runs there and the server here has let its
// client go, or has none. Afterwards this desktop is good for nothing but Close. When it fails, both are to be closed.
func (d *Desktop) MigrateTo(ctx context.Context, to *Desktop) error {
	if err := d.migrateTo(ctx, to); err != nil {
		return fmt.Errorf("migrating a desktop: %w", err)
	}
	return nil
}

func (d *Desktop) migrateTo(ctx context.Context, to *Desktop) error {
	if !to.incoming {
		return errors.New("its target was not started with Incoming")
	}
	uri := map[string]any{"uri": "unix:" + filepath.Join(to.dir, "migration.sock")}
	if err := to.execute(ctx, "migrate-incoming", uri, nil); err != nil {
		return err
	}
	target := map[string]any{"protocol": "spice", "hostname": to.Host, "port": to.Port}
	if to.TLSPort != 0 {
		target["tls-port"] = to.TLSPort
	}
	// Answered when the client has connected to the target, or the server gave up waiting for it.
	if err := d.execute(ctx, "client_migrate_info", target, nil); err != nil {
		return err
	}
	if err := d.execute(ctx, "migrate", uri, nil); err != nil {
		return err
	}
	if err := d.poll(ctx, "the migration to complete", func() (bool, error) { return d.migrated(ctx) }); err != nil {
		return err
	}
	if err := to.poll(ctx, "the guest to run on the target", func() (bool, error) {
		status, err := qmp.Status(ctx, to.monitor)
		return status == "running", err
	}); err != nil {
		return err
	}
	return d.poll(ctx, "the client to be let go", func() (bool, error) {
		var spice struct {
			Migrated bool `json:"migrated"`
		}
		err := d.execute(ctx, "query-spice", nil, &spice)
		return spice.Migrated, err
	})
}

// migrated tells whether the migration has completed.
func (d *Desktop) migrated(ctx context.Context) (bool, error) {
	var m struct {
		Status string `json:"status"`
		Error  string `json:"error-desc"`
	}
	if err := d.execute(ctx, "query-migrate", nil, &m); err != nil {
		return false, err
	}
	switch m.Status {
	case "completed":
		return true, nil
	case "failed", "cancelled":
		return false, fmt.Errorf("QEMU says it %s: %s", m.Status, m.Error)
	}
	return false, nil
}
