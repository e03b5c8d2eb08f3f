// Package relay is a program that delays TCP connections in user space, where the kernel cannot delay packets (sch_netem). The packet
// filter sends it the connections; it sends them on, later.
//
// What it sends on must not be sent back to it: it runs under a group of its own, by which the packet filter knows its sockets (skgid).
package relay

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// Config is what a relay does.
type Config struct {
	Listen   string        // address:port
	Upstream string        // address:port, to which connections are sent on
	Delay    time.Duration // of what is sent, each way
	Jitter   time.Duration // the delay is by so much more or less; at most Delay
	Group    int           // the group id that the process takes; 0: it stays as it is
}

// Args are the arguments for Run.
func (c Config) Args() []string {
	return []string{"--listen", c.Listen, "--upstream", c.Upstream, "--delay", c.Delay.String(), "--jitter", c.Jitter.String(),
		"--group", fmt.Sprint(c.Group)}
}

// Run is the command: it relays until ctx ends.
func Run(ctx context.Context, args []string) error {
	var c Config
	flags := flag.NewFlagSet("relay", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&c.Listen, "listen", "", "address:port")
	flags.StringVar(&c.Upstream, "upstream", "", "address:port")
	flags.DurationVar(&c.Delay, "delay", 0, "each way")
	flags.DurationVar(&c.Jitter, "jitter", 0, "more or less")
	flags.IntVar(&c.Group, "group", 0, "group id")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("reading the relay's arguments: %w", err)
	}
	for name, address := range map[string]string{"listen": c.Listen, "upstream": c.Upstream} {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return fmt.Errorf("reading the relay's arguments: --%s: %w", name, err)
		}
	}
	if c.Delay < 0 || c.Jitter < 0 || c.Jitter > c.Delay || c.Group < 0 || flags.NArg() > 0 {
		return errors.New("reading the relay's arguments: delay and group are not negative, jitter is at most the delay, and there are no others")
	}
	if c.Group != 0 {
		if err := syscall.Setgid(c.Group); err != nil {
			return fmt.Errorf("taking the group %d (it needs root): %w", c.Group, err)
		}
	}
	return c.run(ctx)
}

// run relays with toxiproxy, of which a proxy wants a server: this one serves nothing.
func (c Config) run(ctx context.Context) error {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(server, "relay", c.Listen, c.Upstream)
	for _, stream := range []string{"upstream", "downstream"} {
		toxic := fmt.Sprintf(`{"type": "latency", "stream": %q, "attributes": {"latency": %d, "jitter": %d}}`, stream,
			c.Delay.Milliseconds(), c.Jitter.Milliseconds())
		if _, err := proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
			return fmt.Errorf("delaying what the relay sends: %w", err)
		}
	}
	if err := proxy.Start(); err != nil {
		return fmt.Errorf("starting the relay: %w", err)
	}
	<-ctx.Done()
	proxy.Stop()
	return nil
}
