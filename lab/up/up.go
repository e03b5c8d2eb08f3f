// Package up brings a simulated desktop cloud up whole: a directory with a call centre's people, an OpenStack (lab/sim) and
// a broker in front of both, with the files that point clients at them.
//
// Faults are injected over HTTP, at Control, and the lease files of the desktops' DHCP are in the folder dhcp.
//
// The broker is the real one, from its configuration file on: it does not know that its cloud is simulated.
package up

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/deskstorm/deskstorm/broker/config"
	"github.com/deskstorm/deskstorm/broker/service"
	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/lab/folder"
	"github.com/deskstorm/deskstorm/lab/qemu"
	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/lab/sim/directory"
	"github.com/deskstorm/deskstorm/spice/screen"
)

// Options say how large the cloud is.
type Options struct {
	Users    int // agent0001 and so on, with passwords pass-agent0001 ...
	Desktops int // that the broker's pools may have, and as many again that wait for clients without a broker
	Ready    int // kept ready by the broker's pools, at most Desktops

	QEMU        bool          // desktops are guests under QEMU, not simulated screens
	Accelerator string        // "kvm" or "tcg"; empty: KVM where there is one
	Screen      screen.Config // of simulated screens
	Seed        uint64        // of boot times
	// Speed lets the simulated hosts run short of memory, CPU and disk, so much faster than real ones, see package lab/sim/physics; 0: they
	// never do.
	Speed float64

	// NotificationURL is where the URL of the RabbitMQ is that OpenStack's services send their notifications to, as of
	// sim.Config.NotificationURL: it has a password. The zero Secret: they send none.
	NotificationURL configfile.Secret

	// ScreenCommand runs this program so that it calls farm.Serve; then simulated desktops are in further processes where this one
	// may not hold descriptors enough. Nil: they are all here.
	ScreenCommand []string

	// What broker.yaml.tmpl says of the broker; 0: its usual value.
	Lease            time.Duration // of a session; 1 minute
	Wait             time.Duration // of a login for a desktop; 1 minute
	CheckEvery       time.Duration // between inspections of a pool; 15 s, or 10 ms a desktop where that is more
	DirectoryTimeout time.Duration // of an operation; 3 s

	// Dir is where the files go; it is made if it is not there. Empty: a temporary one, removed by Close.
	Dir string
	Log *slog.Logger // the broker's; nil: none
}

// User is a person, and where they sit.
type User = folder.User

// Cloud is a desktop cloud that runs.
type Cloud struct {
	Dir       string // of the files
	Broker    string // its URL
	Control   string // the URL of the lab's own switches and state, see package control
	Sim       *sim.Lab
	Directory *directory.Server
	Users     []User

	temporary bool
	closers   []func() error
}

// Sim starts the cloud, and returns before its desktops are built: Await tells when they are.
func Sim(ctx context.Context, o Options) (*Cloud, error) {
	c := &Cloud{Dir: o.Dir, Users: folder.Users(o.Users)}
	if err := c.start(ctx, o); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Cloud) start(ctx context.Context, o Options) error {
	if o.Users < 1 || o.Desktops < 1 || o.Ready < 0 || o.Ready > o.Desktops {
		return fmt.Errorf("a cloud of %d users and %d desktops, %d of them ready, makes no sense", o.Users, o.Desktops, o.Ready)
	}
	if err := c.makeDir(); err != nil {
		return fmt.Errorf("making a folder for the cloud's files: %w", err)
	}
	people := directory.Callcenter(o.Users)
	var err error
	if c.Directory, err = directory.Start(people); err != nil {
		return err
	}
	c.closers = append(c.closers, c.Directory.Close)
	if err := c.startSim(ctx, o); err != nil {
		return err
	}
	if err := c.startControl(ctx, o); err != nil {
		return err
	}
	c.startLeases(o.Log)
	file, err := c.writeFiles(people, o)
	if err != nil {
		return fmt.Errorf("writing the cloud's files: %w", err)
	}
	return c.startBroker(ctx, file, o.Log)
}

func (c *Cloud) makeDir() error {
	if c.Dir == "" {
		c.temporary = true
		var err error
		c.Dir, err = os.MkdirTemp("", "deskstorm-lab-")
		return err
	}
	return os.MkdirAll(c.Dir, 0o700)
}

// How many of the broker's desktops a host is there for, beside as many for clients without a broker.
const (
	desktopsOfAHost      = 80 // with those others they fit into its memory, as Placement counts it
	desktopsOfAShortHost = 30 // likewise, on a host that may run short, and below two vCPUs a CPU
)

// hosts is how many hosts the cloud has.
func (o Options) hosts() int {
	if o.Speed != 0 {
		return 1 + o.Desktops/desktopsOfAShortHost
	}
	return 1 + o.Desktops/desktopsOfAHost
}

func (c *Cloud) startSim(ctx context.Context, o Options) error {
	var physics *sim.Physics
	if o.Speed != 0 {
		physics = &sim.Physics{Speed: o.Speed}
	}
	sc := sim.Config{
		Users: sim.DirectoryUsers(c.Directory), Seed: o.Seed, Screen: o.Screen, Servers: seeds(o.Desktops),
		Hosts: make([]sim.Host, o.hosts()), Physics: physics,
		ResumeGuests: true, // as nova.conf of the lab of real services has it
		// The old path asked a patched Nova.
		MetadataFilter: true,
	}
	if o.QEMU {
		accelerator := o.Accelerator
		if accelerator == "" {
			accelerator = qemu.Accelerator()
		}
		sc.Desktops = sim.NewGuests(qemu.Config{Accelerator: accelerator})
	}
	var err error
	if o.NotificationURL.Given() {
		if sc.NotificationURL, err = o.NotificationURL.Read(); err != nil {
			return fmt.Errorf("the URL for notifications: %w", err)
		}
	}
	if !o.QEMU && len(o.ScreenCommand) > 0 {
		if sc.Desktops, err = c.split(o); err != nil {
			return err
		}
	}
	if c.Sim, err = sim.Start(ctx, sc); err != nil {
		return err
	}
	c.closers = append(c.closers, c.Sim.Close)
	return nil
}

func (c *Cloud) startBroker(ctx context.Context, file string, log *slog.Logger) error {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	loaded, err := config.Load(file)
	if err != nil {
		return err
	}
	broker, err := service.Open(ctx, loaded, log)
	if err != nil {
		return fmt.Errorf("starting the broker: %w", err)
	}
	c.Broker = broker.URL
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- broker.Serve(serving) }()
	c.closers = append(c.closers, func() error {
		cancel()
		return <-ended
	})
	return folder.WriteEnvironment(c.Dir, c.Environment())
}

// Close ends everything, the broker first, and removes the temporary folder.
func (c *Cloud) Close() error {
	var errs []error
	for i := len(c.closers) - 1; i >= 0; i-- {
		errs = append(errs, c.closers[i]())
	}
	c.closers = nil
	switch {
	case c.Dir == "": // it could not be made
	case !c.temporary:
		errs = append(errs, os.RemoveAll(c.path(folder.EnvironmentFile))) // it points at ports that are closed
	default:
		errs = append(errs, os.RemoveAll(c.Dir))
	}
	return errors.Join(errs...)
}

// path is a file in the cloud's folder.
func (c *Cloud) path(name string) string { return filepath.Join(c.Dir, name) }
