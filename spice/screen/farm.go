package screen

import (
	"context"
	"fmt"
	"net"
	"sync"
)

// Farm is many desktops of one process, each on loopback ports of its own,
// with one key and one clock for all.
type Farm struct {
	host     *host
	desktops []*Desktop
	serving  sync.WaitGroup
}

// NewFarm starts n desktops of one configuration on 127.0.0.1, each on a plain
// port and, if the configuration has TLS, on a second one over TLS. The ports
// are the kernel's choice, see Desktop.Addr. A desktop takes one or two
// descriptors and four more while a client is connected.
func NewFarm(n int, c Config) (*Farm, error) {
	f := &Farm{host: newHost(newAlarm), desktops: make([]*Desktop, 0, n)}
	if _, err := f.host.key(); err != nil { // now, and not in the first client's time
		return nil, err
	}
	for i := range n {
		d := newDesktop(c, f.host)
		f.desktops = append(f.desktops, d)
		if err := f.start(d); err != nil {
			f.Close()
			return nil, fmt.Errorf("starting desktop %d of %d: %w", i+1, n, err)
		}
	}
	return f, nil
}

func (f *Farm) start(d *Desktop) error {
	l, err := listenLoopback()
	if err != nil {
		return err
	}
	plain := d.open(l, false)
	f.serving.Go(func() { _ = d.serve(context.Background(), plain) })
	if d.config.TLS == nil {
		return nil
	}
	if l, err = listenLoopback(); err != nil {
		return err
	}
	secure := d.openTLS(l)
	f.serving.Go(func() { _ = d.serve(context.Background(), secure) })
	return nil
}

func listenLoopback() (net.Listener, error) {
	// No keepalive: PING does that, and it is three system calls a channel.
	config := net.ListenConfig{KeepAlive: -1}
	return config.Listen(context.Background(), "tcp4", "127.0.0.1:0")
}

// Desktops are the farm's, in the order of their making.
func (f *Farm) Desktops() []*Desktop { return f.desktops }

// Close kills all desktops and returns when their connections are closed.
func (f *Farm) Close() {
	for _, d := range f.desktops {
		d.Kill()
	}
	f.serving.Wait()
	f.host.clock.stop()
}
