package libvirt

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"github.com/deskstorm/deskstorm/lab/guest"
	"github.com/deskstorm/deskstorm/lab/qemu"
)

// Graphics is the graphics element of a desktop that says nothing else: SPICE on a loopback port that libvirt chooses.
const Graphics = `<graphics type='spice' autoport='yes' listen='127.0.0.1'/>`

// domain is a desktop as lab/qemu runs it, in libvirt's words: name, UUID, emulator, disk, graphics.
const domain = `<domain type='qemu'>
  <name>%s</name>
  <uuid>%s</uuid>
  <memory unit='MiB'>16</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <features><acpi/></features>
  <devices>
    <emulator>%s</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='%s'/>
      <target dev='vda' bus='virtio'/>
      <readonly/>
    </disk>
    <controller type='usb' model='none'/>
    %s
    <video><model type='qxl'/></video>
    <memballoon model='none'/>
  </devices>
</domain>`

// Boot starts a desktop with this graphics element and returns its UUID. Its SPICE server answers then, its guest may
// still be booting.
func (d *Daemon) Boot(ctx context.Context, name, graphics string) (string, error) {
	id := uuid.NewString()
	return id, d.BootAs(ctx, name, id, graphics)
}

// BootAs starts a desktop that has its UUID from somebody else, as Nova gives its servers'.
func (d *Daemon) BootAs(ctx context.Context, name, id, graphics string) error {
	description, err := d.describe(name, id, graphics)
	if err == nil {
		err = d.do(ctx, func(l *libvirt.Libvirt) error {
			_, err := l.DomainCreateXML(description, libvirt.DomainNone)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("booting desktop %s: %w", name, err)
	}
	return nil
}

// Destroy ends a desktop at once, as if its power was cut. The daemon forgets it unless it was defined.
func (d *Daemon) Destroy(ctx context.Context, id string) error {
	parsed, err := uuid.Parse(id)
	if err != nil {
		return fmt.Errorf("destroying desktop %q: %w", id, err)
	}
	err = d.do(ctx, func(l *libvirt.Libvirt) error {
		found, err := l.DomainLookupByUUID(libvirt.UUID(parsed))
		if err != nil {
			return err
		}
		return l.DomainDestroy(found)
	})
	if err != nil {
		return fmt.Errorf("destroying desktop %s: %w", id, err)
	}
	return nil
}

// Define makes a desktop that does not run, and returns its UUID.
func (d *Daemon) Define(ctx context.Context, name, graphics string) (string, error) {
	id := uuid.NewString()
	description, err := d.describe(name, id, graphics)
	if err != nil {
		return "", fmt.Errorf("defining desktop %s: %w", name, err)
	}
	err = d.do(ctx, func(l *libvirt.Libvirt) error {
		_, err := l.DomainDefineXML(description)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("defining desktop %s: %w", name, err)
	}
	return id, nil
}

// Description returns what libvirt says of a desktop, in its XML form with all secrets.
func (d *Daemon) Description(ctx context.Context, id string) (string, error) {
	parsed, err := uuid.Parse(id)
	if err != nil {
		return "", fmt.Errorf("describing desktop %q: %w", id, err)
	}
	description := ""
	err = d.do(ctx, func(l *libvirt.Libvirt) error {
		found, err := l.DomainLookupByUUID(libvirt.UUID(parsed))
		if err != nil {
			return err
		}
		description, err = l.DomainGetXMLDesc(found, libvirt.DomainXMLSecure)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("describing desktop %s: %w", id, err)
	}
	return description, nil
}

func (d *Daemon) describe(name, id, graphics string) (description string, err error) {
	emulator, err := exec.LookPath(qemu.Program)
	if err != nil {
		return "", err
	}
	disk := filepath.Join(d.dir, id+".img")
	if err := os.WriteFile(disk, guest.Image(), 0o600); err != nil {
		return "", err
	}
	if err := os.Truncate(disk, guest.MinDiskSize); err != nil {
		return "", err
	}
	return fmt.Sprintf(domain, name, id, emulator, disk, graphics), nil
}
