// Package debian is a desktop cloud of real services on one machine, from Debian's packages: Keystone with the people of an LDAP
// directory, Glance, Placement, Nova with compute nodes that only pretend and one that runs QEMU under libvirt, Neutron with
// dnsmasq, their MariaDB, RabbitMQ and memcached, slapd, the broker, and Prometheus with the exporters of the host and of libvirt.
//
// Everything listens on one address of the loopback network, runs from files below one folder and is started by this package, not
// by systemd: what is installed on the machine stays as it is, and a machine without systemd will do. The programs outlive the
// one that started them; Up finds them again and starts what is missing, Down stops exactly what Up started.
//
// It needs Debian 12, root, and about 4 GB of memory. Two things show on the machine besides processes: a bridge and taps
// without addresses, and the network namespace of Neutron's dnsmasq. Down removes them.
package debian

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/deskstorm/deskstorm/lab/debian/daemon"
	"github.com/deskstorm/deskstorm/lab/sim/directory"
)

// Defaults of Options.
const (
	DefaultDir     = "/var/lib/deskstorm/lab"
	DefaultCache   = "/var/cache/deskstorm"
	DefaultAddress = "127.67.0.1"
)

// Options say how large the cloud is, and where.
type Options struct {
	// Dir is the folder of all its files. Paths of Unix sockets below it must fit into 107 bytes.
	Dir string `json:"dir"`
	// Cache is the folder of what takes long to make and may be used again by any lab: database schemas, the Linux guest.
	Cache string `json:"cache"`
	// Address is where everything listens, of the loopback network.
	Address string `json:"address"`

	Computes int `json:"computes"` // nodes of Nova's fake driver: fake01 and so on
	Users    int `json:"users"`    // people in the directory: agent0001 and so on, with passwords pass-agent0001 ...
	Desktops int `json:"desktops"` // of the broker's pools, and as many again for clients that ask Nova themselves
	Ready    int `json:"ready"`    // kept ready by the broker's pools

	// VirtType is what runs the desktops: "qemu", the emulator, or "kvm". The Linux guest needs a KVM that runs ordinary kernels.
	VirtType string `json:"virt_type"`

	// Program is the command line of deskstorm itself, of which the lab runs the broker; its arguments follow.
	Program []string `json:"program"`
}

func (o Options) check() error {
	switch ip := net.ParseIP(o.Address); {
	case !filepath.IsAbs(o.Dir) || !filepath.IsAbs(o.Cache):
		return fmt.Errorf("the lab's folders %q and %q must be absolute paths", o.Dir, o.Cache)
	case ip == nil || ip.To4() == nil || !ip.IsLoopback():
		return fmt.Errorf("the lab's address %q is not one of 127.0.0.0/8", o.Address)
	case o.Computes < 0 || o.Computes > 20:
		return fmt.Errorf("%d fake compute nodes are not between 0 and 20; each takes 140 MB", o.Computes)
	case o.Users < 1 || o.Desktops < 1 || o.Ready < 0 || o.Ready > o.Desktops:
		return fmt.Errorf("a lab of %d users and %d desktops, %d of them ready, makes no sense", o.Users, o.Desktops, o.Ready)
	case o.Desktops > maxDesktops:
		return fmt.Errorf("%d desktops are more than the %d that one machine's scheduler is set up for", o.Desktops, maxDesktops)
	case o.VirtType != "qemu" && o.VirtType != "kvm":
		return fmt.Errorf("desktops run by %q: it is qemu or kvm", o.VirtType)
	case len(o.Program) == 0:
		return errors.New("the lab does not know the program that runs its broker")
	}
	return nil
}

// Lab is a cloud of this machine. Its methods must not be called from several goroutines at once.
type Lab struct {
	Options

	secrets secrets
	people  directory.Config
	daemons daemon.Folder
	tell    func(string)

	sessionMu sync.Mutex
	session   *gophercloud.ProviderClient // nil: nobody has logged in
	began     time.Time
}

// ErrNone says that there is no lab in a folder.
var ErrNone = errors.New("no lab of Debian's packages is in this folder")

// Open finds the lab of a folder, whether it runs or not.
func Open(dir string) (*Lab, error) {
	text, err := os.ReadFile(filepath.Join(dir, optionsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNone, dir)
	}
	var o Options
	if err == nil {
		err = json.Unmarshal(text, &o)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the lab of %s: %w", dir, err)
	}
	o.Dir = dir
	l := newLab(o)
	return l, l.loadSecrets()
}

func newLab(o Options) *Lab {
	l := &Lab{Options: o, people: directory.Callcenter(o.Users), tell: func(string) {}, began: time.Now()}
	l.daemons = daemon.Folder(l.run("daemons"))
	return l
}

// Up brings the lab up, or brings up what of it does not run. It installs the packages that are missing. tell hears of each step
// that is done. An interrupted Up leaves what runs running: another Up goes on, Down ends it.
func Up(ctx context.Context, o Options, tell func(string)) (*Lab, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if missing := Missing(); len(missing) > 0 {
		return nil, &MissingError{missing}
	}
	l := newLab(o)
	l.tell = tell
	unlock, err := l.claim()
	if err != nil {
		return nil, err
	}
	defer unlock()
	for _, step := range []func(context.Context) error{
		l.install, l.writeFiles, l.startBase, l.makeSchemas, l.startIdentity, l.register, l.startCloud, l.makeResources, l.startRest,
	} {
		if err := step(ctx); err != nil {
			return nil, fmt.Errorf("bringing the lab in %s up: %w", l.Dir, err)
		}
	}
	return l, nil
}

// claim makes the lab's folders and locks them against another Up or Down.
func (l *Lab) claim() (unlock func(), err error) {
	for _, dir := range []string{l.Dir, l.etc(), l.run("daemons"), l.logs(), l.data("lock"), l.Cache} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("making the lab's folders: %w", err)
		}
	}
	f, err := os.OpenFile(filepath.Join(l.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("another deskstorm brings the lab in %s up or down at this moment: %w", l.Dir, err)
	}
	return func() { _ = f.Close() }, nil
}

// say tells of a step that is done, with the time since the beginning.
func (l *Lab) say(format string, args ...any) {
	l.tell(fmt.Sprintf("%7.1f s  ", time.Since(l.began).Seconds()) + fmt.Sprintf(format, args...))
}

// The lab's folders.

func (l *Lab) etc(name ...string) string { return l.path("etc", name) }

func (l *Lab) data(name ...string) string { return l.path("var", name) }

func (l *Lab) run(name ...string) string { return l.path("run", name) }

func (l *Lab) logs(name ...string) string { return l.path("log", name) }

func (l *Lab) path(dir string, name []string) string {
	return filepath.Join(append([]string{l.Dir, dir}, name...)...)
}
