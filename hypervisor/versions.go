package hypervisor

import (
	"context"
	"fmt"
)

// Versions returns libvirtd's version and its QEMU's, such as "9.0.0" and "7.2.22". QEMU's is that of the installed program: domains
// that were started before an upgrade still run the one before.
func (h *Host) Versions(ctx context.Context) (libvirt, qemu string, err error) {
	err = h.call(ctx, func(c *connection) error {
		l, err := c.libvirt.ConnectGetLibVersion()
		if err != nil {
			return err
		}
		q, err := c.libvirt.ConnectGetVersion()
		if err != nil {
			return err
		}
		libvirt, qemu = version(l), version(q)
		return nil
	})
	if err != nil {
		return "", "", fmt.Errorf("asking %s for its versions: %w", h, err)
	}
	return libvirt, qemu, nil
}

// version spells 1,000,000 * major + 1,000 * minor + release (virGetVersion in libvirt's documentation).
func version(n uint64) string { return fmt.Sprintf("%d.%d.%d", n/1_000_000, n/1000%1000, n%1000) }
