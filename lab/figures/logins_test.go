package figures

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/broker/client/console"
	"github.com/deskstorm/deskstorm/broker/client/openstack"
	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/lab/up"
	"github.com/deskstorm/deskstorm/spice"
)

// cloudVariable makes the test's own program a desktop cloud with its files in that folder.
const cloudVariable = "DESKSTORM_FIGURES_CLOUD"

const officeSize = 400 // people, and desktops for each of both ways

// serveCloud prints the broker's URL and keeps the cloud until standard input ends.
func serveCloud(dir string) error {
	ctx := context.Background()
	c, err := up.Sim(ctx, up.Options{Users: officeSize, Desktops: officeSize, Ready: officeSize, Dir: dir})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Await(ctx, func(int, int) {}); err != nil {
		return err
	}
	fmt.Println(c.Broker)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// startCloud starts a desktop cloud in a process of its own and returns its folder and its broker's URL.
func startCloud(b *testing.B) (dir, broker string) {
	b.Helper()
	dir = b.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), cloudVariable+"="+dir)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(b, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, cmd.Start())
	b.Cleanup(func() {
		require.NoError(b, stdin.Close())
		require.NoError(b, cmd.Wait())
	})
	broker, err = bufio.NewReader(stdout).ReadString('\n')
	require.NoError(b, err)
	return dir, strings.TrimSpace(broker)
}

// office is people who log in, each once at a time.
type office struct {
	driver client.Driver
	free   chan int
	desk   bool // also connect to the desktop, to its first picture

	mu     sync.Mutex
	failed error
}

func newOffice(driver client.Driver, desk bool) *office {
	o := &office{driver: driver, free: make(chan int, officeSize), desk: desk}
	for _, i := range rand.Perm(officeSize) {
		o.free <- i
	}
	return o
}

// login logs somebody in and out and returns the session and how long the login took.
func (o *office) login(ctx context.Context) (*client.Session, time.Duration) {
	i := <-o.free
	defer func() { o.free <- i }()
	name := fmt.Sprintf("agent%04d", i+1)
	begun := time.Now()
	s, err := o.driver.Login(ctx, client.Login{User: name, Password: "pass-" + name, Seat: fmt.Sprintf("N%d-%03d", i%6+1, i/6+1)})
	took := time.Since(begun)
	if err == nil && o.desk {
		var session *spice.Session
		session, err = spice.Dial(ctx, spice.Config{Host: s.Console.Host, Port: s.Console.Port, Ticket: s.Console.Ticket})
		if err == nil {
			session.Close()
		}
	}
	if s != nil {
		if e := o.driver.Logout(ctx, s); err == nil {
			err = e
		}
	}
	if err != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.failed = err
		return nil, took
	}
	return s, took
}

// BenchmarkLogins is how many logins and logouts a second both ways take, with the whole cloud on the same machine: the
// broker's way alone and with the desktop's first picture, and the way through Keystone and Nova.
func BenchmarkLogins(b *testing.B) {
	dir, broker := startCloud(b)
	config, err := cloud.LoadFile(dir+"/clouds.yaml", "sim")
	require.NoError(b, err)
	direct, err := openstack.New(b.Context(), openstack.Config{Cloud: config, Domain: "users",
		Consoles: func(c *cloud.Cloud) console.Finder { return console.SpiceHTML5(c) }})
	require.NoError(b, err)
	through := client.NewBroker(client.BrokerConfig{URL: broker, Timeout: time.Minute})
	defer through.Close()
	for _, way := range []struct {
		name   string
		office *office
	}{
		{"broker", newOffice(through, false)},
		{"broker+desktop", newOffice(through, true)},
		{"cloud", newOffice(direct, false)},
		{"cloud+desktop", newOffice(direct, true)},
	} {
		b.Run(way.name, func(b *testing.B) {
			const at, lasting = 16, 8 * time.Second
			for b.Loop() {
				var logins atomic.Int64
				var workers sync.WaitGroup
				begun := time.Now()
				for range at {
					workers.Go(func() {
						for time.Since(begun) < lasting {
							if s, _ := way.office.login(b.Context()); s != nil {
								logins.Add(1)
							}
						}
					})
				}
				workers.Wait()
				require.NoError(b, way.office.failed)
				b.ReportMetric(float64(logins.Load())/time.Since(begun).Seconds(), "logins/s")
			}
		})
	}
}

// BenchmarkBrokerLatency is what the broker adds to a login at 50 logins a second: all that its handler took, less the
// steps that are the directory's and Nova's.
func BenchmarkBrokerLatency(b *testing.B) {
	_, broker := startCloud(b)
	through := client.NewBroker(client.BrokerConfig{URL: broker, Timeout: time.Minute})
	defer through.Close()
	office := newOffice(through, false)
	const rate, lasting = 50, 20 * time.Second
	for b.Loop() {
		var mu sync.Mutex
		var added, whole, seen []time.Duration
		var logins sync.WaitGroup
		tick := time.NewTicker(time.Second / rate)
		before := cpuTimes(b)
		for begun := time.Now(); time.Since(begun) < lasting; <-tick.C {
			logins.Go(func() {
				s, took := office.login(b.Context())
				if s == nil {
					return
				}
				others := time.Duration(0)
				for _, step := range s.Steps {
					if step.Step == client.StepAuth || step.Step == client.StepConsole {
						others += step.Took
					}
				}
				mu.Lock()
				defer mu.Unlock()
				added, whole, seen = append(added, s.Elapsed-others), append(whole, s.Elapsed), append(seen, took)
			})
		}
		tick.Stop()
		logins.Wait()
		require.NoError(b, office.failed)
		b.ReportMetric(float64(len(added))/lasting.Seconds(), "logins/s")
		for name, list := range map[string][]time.Duration{"added": added, "handler": whole, "client": seen} {
			slices.Sort(list)
			b.ReportMetric(list[len(list)/2].Seconds()*1000, name+"-p50-ms")
			b.ReportMetric(list[len(list)*99/100].Seconds()*1000, name+"-p99-ms")
		}
		b.ReportMetric(cpuTimes(b).stolenSince(before), "stolen-CPU-%")
	}
}
