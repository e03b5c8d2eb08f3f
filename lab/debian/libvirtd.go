package debian

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"

	"github.com/digitalocean/go-libvirt"
	"github.com/digitalocean/go-libvirt/socket/dialers"
)

// libvirtdScript runs libvirtd in a mount namespace of its own, where the lab's folders are in the places that are compiled into
// it. The machine's own libvirt, if it has one, is not touched.
const libvirtdScript = `set -e
mkdir -p /run/libvirt /var/lib/libvirt /var/cache/libvirt
mount --bind "$1" /etc/libvirt
mount --bind "$2" /run/libvirt
mount --bind "$3" /var/lib/libvirt
mount --bind "$4" /var/cache/libvirt
exec libvirtd --config /etc/libvirt/libvirtd.conf --pid-file /run/libvirt/libvirtd.pid`

func libvirtd() service {
	return service{
		name: "libvirtd",
		prepare: func(_ context.Context, l *Lab) error {
			for _, dir := range []string{l.etc("libvirt", "qemu"), l.run("libvirt"), l.data("libvirt"), l.data("libvirt-cache")} {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					return err
				}
			}
			return nil
		},
		command: func(l *Lab) *exec.Cmd {
			return l.tool(context.Background(), "unshare", "--mount", "--propagation", "private", "sh", "-c", libvirtdScript, "libvirtd",
				l.etc("libvirt"), l.run("libvirt"), l.data("libvirt"), l.data("libvirt-cache"))
		},
		answers: func(ctx context.Context, l *Lab) error {
			return l.libvirt(ctx, func(c *libvirt.Libvirt) error { return nil })
		},
	}
}

func (l *Lab) libvirtSocket() string { return l.run("libvirt", "libvirt-sock") }

// libvirt opens a connection to the lab's libvirtd for one task.
func (l *Lab) libvirt(ctx context.Context, task func(*libvirt.Libvirt) error) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", l.libvirtSocket())
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	c := libvirt.NewWithDialer(dialers.NewAlreadyConnected(conn))
	if err := c.ConnectToURI(libvirt.QEMUSystem); err != nil {
		return err
	}
	return task(c)
}

// destroyGuests ends all QEMU processes of the lab's libvirtd, which do not end with it.
func (l *Lab) destroyGuests(ctx context.Context) error {
	return l.libvirt(ctx, func(c *libvirt.Libvirt) error {
		running, _, err := c.ConnectListAllDomains(1, libvirt.ConnectListDomainsActive)
		if err != nil {
			return err
		}
		var errs []error
		for _, d := range running {
			errs = append(errs, c.DomainDestroy(d))
		}
		return errors.Join(errs...)
	})
}
