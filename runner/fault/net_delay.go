package fault

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/deskstorm/deskstorm/runner/fault/relay"
	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/runner/target"
)

const longestDelay = 5 * time.Minute

func delayParameters() []native.Parameter {
	return []native.Parameter{
		{Name: "delay", Type: native.Duration, Required: true, Doc: "how much later, 1ms to 5m"},
		{Name: "jitter", Type: native.Duration, Doc: "by how much more or less, by chance; at most the delay; 0s if absent"},
	}
}

// delays reads what delayParameters says, in whole milliseconds.
func (r *request) delays() (delay, jitter time.Duration, err error) {
	delay, jitter = r.Duration("delay", 0).Truncate(time.Millisecond), r.Duration("jitter", 0).Truncate(time.Millisecond)
	switch {
	case delay < time.Millisecond || delay > longestDelay:
		return 0, 0, native.Wrong("delay", "expected 1ms to %s", longestDelay)
	case jitter > delay:
		return 0, 0, native.Wrong("jitter", "expected at most the delay, %s", delay)
	}
	return delay, jitter, nil
}

func netDelay() kind {
	return kind{
		name: "net.delay",
		doc:  "delays a network: what is sent across a device (tc netem), or TCP connections to a service, each way, in a relay",
		parameters: append([]native.Parameter{
			deviceParameter("to delay, where the kernel can"),
			{Name: "address", Type: native.Text, Doc: "the service's IP address, for the relay"},
			{Name: "port", Type: native.Integer, Doc: "the service's TCP port, for the relay"},
		}, delayParameters()...),
		host: func(ctx context.Context, r *request) error {
			delay, jitter, err := r.delays()
			if err != nil {
				return err
			}
			t, err := r.traffic(0)
			switch {
			case err != nil:
				return err
			case t.device != "" && (t.address.IsValid() || t.port != 0):
				return errors.New("say device, or address and port: the queues of a device delay all that it sends")
			case t.device == "":
				return r.relays(ctx, t, delay, jitter, false)
			case !r.can(ctx, "netem"):
				return errors.New("the kernel there cannot delay packets: it has no sch_netem; say address and port, and a relay delays connections")
			}
			r.Notes["by"] = "the kernel, sch_netem"
			r.whats("what is sent across %s is delayed by %s", t.device, spread(delay, jitter))
			return r.queues(ctx, t.device, "netem", "delay", micro(delay), micro(jitter))
		},
	}
}

func micro(d time.Duration) string { return fmt.Sprintf("%dus", d.Microseconds()) }

func spread(delay, jitter time.Duration) string {
	if jitter == 0 {
		return delay.String()
	}
	return fmt.Sprintf("%s, by chance %s more or less", delay, jitter)
}

// can tells whether a kernel has a queueing discipline, by giving one to the loopback interface of a network namespace that ends with
// the command.
func (r *request) can(ctx context.Context, discipline string) bool {
	said, err := r.look(ctx, shell(`unshare --net tc qdisc add dev lo root "$1" delay 1ms 2>/dev/null && echo can || echo not`, discipline))
	return err == nil && strings.TrimSpace(said) == "can"
}

// relayPorts are those on which relays listen: below the ports that kernels choose by themselves (ip_local_port_range, from 32768 on).
const (
	firstRelayPort = 24000
	relayPorts     = 4000
)

// relayGroup is the first of the group ids of relays: nobody's, and no user namespace's (subgid(5)).
const relayGroup = 0x7d000000

// relays sends new TCP connections from and through the target to a service through a relay at the target. Those that exist go on
// without delay, or are reset, so that who keeps them open comes again.
func (r *request) relays(ctx context.Context, t traffic, delay, jitter time.Duration, reset bool) error {
	if !t.address.IsValid() || !t.address.IsSingleIP() || t.port == 0 {
		return native.Wrong("address", "the relay needs the service's IP address, and its port")
	}
	program := r.relay(r.Targets[r.at])
	if err := r.needs(ctx, program[0], "deskstorm there, which is the relay: the kernel cannot delay connections by itself"); err != nil {
		return err
	}
	port, err := r.relayPort(ctx)
	if err != nil {
		return err
	}
	group := int(relayGroup + r.number(1<<16))
	family, any := "ip", "0.0.0.0"
	if t.address.Addr().Is6() {
		family, any = "ip6", "::"
	}
	config := relay.Config{
		Listen: net.JoinHostPort(any, strconv.Itoa(port)), Upstream: net.JoinHostPort(showAddress(t.address), strconv.Itoa(t.port)),
		Delay: delay, Jitter: jitter, Group: group,
	}
	pidFile := r.machine.RunDir + "/" + r.tableName() + ".pid"
	r.whats("what is sent on new TCP connections to %s is delayed by %s, each way", config.Upstream, spread(delay, jitter))
	existing, resets := "go on without delay", ""
	if reset {
		existing, resets = "are reset when they are used", notRelayed(fmt.Sprintf("%s daddr %s tcp dport %d", family, showAddress(t.address), t.port), group)
	}
	r.Notes["by"] = "a relay in user space: the service sees connections from the target's address; those that exist " + existing +
		", those through the relay end with the fault"

	r.applies(target.Step{Start: &target.Start{Argv: slices.Concat(program, config.Args()), PidFile: pidFile}}, r.listens("t", port, 1))
	// Only by their first packet: of a connection that exists the kernel may begin to know now, and would redirect it in its midst.
	service := fmt.Sprintf("%s daddr %s tcp dport %d tcp flags & (fin|syn|rst|ack) == syn", family, showAddress(t.address), t.port)
	// A connection that nobody redirected is somebody's who found the port.
	err = r.filters(ctx, fmt.Sprintf(`	chain arriving {
		type nat hook prerouting priority -110; policy accept;
		%s counter redirect to :%d
	}
	chain sent {
		type nat hook output priority -110; policy accept;
		%s meta skgid != %d counter redirect to :%d
	}
	chain relay {
		type filter hook input priority -10; policy accept;
		tcp dport %d ct state new ct status & dnat == 0 drop
	}
%s`, service, port, service, group, port, port, resets))
	// After the filter, so that no connection is sent to a relay that is gone.
	r.undoes(target.Step{Signal: &target.Signal{PidFile: pidFile, Program: path.Base(program[0]), Signal: "KILL"}})
	return err
}

// notRelayed are chains that reset what still goes to a service after connections were redirected: those that existed before.
func notRelayed(service string, group int) string {
	return fmt.Sprintf(`	chain arrived {
		type filter hook input priority -10; policy accept;
		iifname != "lo" %s counter reject with tcp reset
	}
	chain through {
		type filter hook forward priority -10; policy accept;
		%s counter reject with tcp reset
	}
	chain gone {
		type filter hook output priority -10; policy accept;
		%s meta skgid != %d counter reject with tcp reset
	}
`, service, service, service, group)
}

// listens is a step that waits until so many sockets, of TCP ("t") or UDP ("u"), are at a port: a program that was started may not be
// ready.
func (r *request) listens(protocol string, port, sockets int) target.Step {
	return shell(`for i in $(seq 100); do
	[ "$(ss -Hln"$1" "sport = :$2" | wc -l)" -lt "$3" ] || exit 0
	sleep 0.1
done
echo "nobody listens at port $2 after 10 s" >&2
exit 1`, protocol, strconv.Itoa(port), strconv.Itoa(sockets))
}

// relayPort looks for a free port.
func (r *request) relayPort(ctx context.Context) (int, error) {
	if err := r.needs(ctx, "ss", "iproute2"); err != nil {
		return 0, err
	}
	said, err := r.look(ctx, command("ss", "-Hltn"))
	if err != nil {
		return 0, fmt.Errorf("looking for a free port for the relay: %w", err)
	}
	for i := range uint32(relayPorts) {
		port := firstRelayPort + int((r.number(relayPorts)+i)%relayPorts)
		if !strings.Contains(said, fmt.Sprintf(":%d ", port)) {
			return port, nil
		}
	}
	return 0, errors.New("there is no free port for the relay")
}
