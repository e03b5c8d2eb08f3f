package farm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/rpc"
	"os"
	"sync"
	"time"

	"github.com/deskstorm/deskstorm/lab/sim"
	"github.com/deskstorm/deskstorm/spice/screen"
)

// Settings are what of a screen.Config is told to a process.
type Settings struct {
	Width, Height               int
	Caret, Ping                 time.Duration
	Ticket                      string
	Expires                     time.Time
	GuestLatency, ServerLatency time.Duration
}

func settings(c screen.Config) Settings {
	return Settings{c.Width, c.Height, c.Caret, c.Ping, c.Ticket, c.Expires, c.GuestLatency, c.ServerLatency}
}

// String does not tell the ticket.
func (s Settings) String() string { return "settings of a screen" }

// GoString does not either.
func (s Settings) GoString() string { return "farm.Settings{...}" }

func (s Settings) config() screen.Config {
	return screen.Config{
		Width: s.Width, Height: s.Height, Caret: s.Caret, Ping: s.Ping, Ticket: s.Ticket, Expires: s.Expires,
		GuestLatency: s.GuestLatency, ServerLatency: s.ServerLatency,
	}
}

// Latency is a desktop's new one.
type Latency struct {
	ServerID string
	Latency  time.Duration
}

// Serve is the whole life of a process with desktops: it does what it is told over descriptor 3, until that is closed.
func Serve() error {
	if _, err := RaiseLimit(); err != nil {
		return err
	}
	file := os.NewFile(socket, "desktops")
	conn, err := net.FileConn(file)
	if err != nil {
		return fmt.Errorf("desktops for a lab are served over descriptor %d, by a lab that starts this program: %w", socket, err)
	}
	_ = file.Close()
	d := &Desktops{}
	server := rpc.NewServer()
	if err := server.Register(d); err != nil {
		return err
	}
	server.ServeConn(conn)
	if d.screens != nil {
		d.screens.Close()
	}
	return nil
}

// Desktops is what a process does, as net/rpc calls it.
type Desktops struct {
	once    sync.Once
	screens *sim.Screens
}

// Configure is called first.
func (d *Desktops) Configure(s Settings, _ *struct{}) error {
	d.once.Do(func() { d.screens = sim.NewScreens(s.config()) })
	return nil
}

// Boot boots the desktop of a server.
func (d *Desktops) Boot(serverID string, console *sim.Console) (err error) {
	if d.screens == nil {
		return errors.New("the process has not been told how its desktops are")
	}
	*console, err = d.screens.Boot(context.Background(), serverID)
	return err
}

// Shutdown ends a desktop.
func (d *Desktops) Shutdown(serverID string, _ *struct{}) error {
	d.screens.Shutdown(serverID)
	return nil
}

// Kill ends a desktop's SPICE server, and tells whether there was one.
func (d *Desktops) Kill(serverID string, killed *bool) error {
	*killed = d.screens.Kill(serverID)
	return nil
}

// SetGuestLatency tells whether there is such a desktop.
func (d *Desktops) SetGuestLatency(l Latency, found *bool) error {
	*found = d.screens.SetGuestLatency(l.ServerID, l.Latency)
	return nil
}
