package rabbitmq

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/configfile"
	"github.com/deskstorm/deskstorm/lab/rabbitmq"
	"github.com/deskstorm/deskstorm/lab/rabbitmq/rabbitmqtest"
)

// service is a program that consumes from a queue of its own, and acknowledges what it gets.
type service struct {
	queue string
	got   chan time.Time
}

// startService connects as oslo.messaging does. A heartbeat or keepalive of 0 is none.
func startService(t *testing.T, server *rabbitmq.Server, dial dialFunc, name string, heartbeat, keepAlive time.Duration) *service {
	t.Helper()
	uri, err := amqp.ParseURI(server.URL)
	require.NoError(t, err)
	conn, err := dial(t.Context(), "tcp", net.JoinHostPort(uri.Host, fmt.Sprint(uri.Port)))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.(*net.TCPConn).SetKeepAliveConfig(net.KeepAliveConfig{
		Enable: keepAlive > 0, Idle: keepAlive, Interval: 2 * time.Second, Count: 3,
	}))
	config := amqp.Config{
		SASL: []amqp.Authentication{uri.PlainAuth()}, Vhost: "/", Heartbeat: heartbeat, Properties: amqp.NewConnectionProperties(),
	}
	if heartbeat == 0 {
		config.Heartbeat = -(1 << 16) * time.Second // the library takes 0 for the broker's wish
	}
	config.Properties.SetClientConnectionName(name + ":4711:0b5c4a5e")
	c, err := amqp.Open(conn, config)
	require.NoError(t, err)
	channel, err := c.Channel()
	require.NoError(t, err)
	s := &service{queue: name + ".host1", got: make(chan time.Time, 100)}
	_, err = channel.QueueDeclare(s.queue, false, false, false, false, nil)
	require.NoError(t, err)
	deliveries, err := channel.Consume(s.queue, "", false, false, false, false, nil)
	require.NoError(t, err)
	go func() {
		for d := range deliveries {
			s.got <- time.Now()
			_ = d.Ack(false)
		}
	}()
	return s
}

// call publishes a message to each service from a fresh connection, and says which of them got it.
func call(t *testing.T, server *rabbitmq.Server, dial dialFunc, services ...*service) (got []bool) {
	t.Helper()
	c, err := amqp.DialConfig(server.URL, amqp.Config{Dial: func(network, address string) (net.Conn, error) {
		return dial(t.Context(), network, address)
	}})
	require.NoError(t, err)
	defer c.Close()
	channel, err := c.Channel()
	require.NoError(t, err)
	require.NoError(t, channel.Confirm(false))
	for _, s := range services {
		confirmation, err := channel.PublishWithDeferredConfirm("", s.queue, true, false, amqp.Publishing{Body: []byte("build a desktop")})
		require.NoError(t, err)
		require.True(t, confirmation.Wait(), "the broker confirms what is lost")
	}
	end := time.After(3 * time.Second)
	for _, s := range services {
		select {
		case <-s.got:
			got = append(got, true)
		case <-end:
			got = append(got, false)
			end = time.After(time.Second)
		}
	}
	return got
}

// api is the broker's management API, as its administrator asks it from the compute host.
func api(t *testing.T, server *rabbitmq.Server, dial dialFunc, method, path string, body, to any) {
	t.Helper()
	text, err := json.Marshal(body)
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(t.Context(), method, server.Management+"/api/"+path, bytes.NewReader(text))
	require.NoError(t, err)
	request.SetBasicAuth("guest", "guest")
	response, err := httpClient(nil, dial).Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Less(t, response.StatusCode, 300, "%s %s", method, path)
	if to != nil {
		require.NoError(t, json.NewDecoder(response.Body).Decode(to))
	}
}

// users are those that docs/rabbitmq.md advises.
func makeUsers(t *testing.T, server *rabbitmq.Server, dial dialFunc) {
	type object = map[string]string
	api(t, server, dial, "PUT", "users/monitor", object{"password": "monitor-secret", "tags": "monitoring"}, nil)
	api(t, server, dial, "PUT", "users/canary", object{"password": "canary-secret", "tags": "management"}, nil)
	api(t, server, dial, "PUT", "vhosts/canary", object{}, nil)
	api(t, server, dial, "PUT", "permissions/canary/canary", object{
		"configure": `^(deskstorm\.canary\.|amq\.gen-)`,
		"write":     `^(deskstorm\.canary\.|amq\.gen-|amq\.default$)`,
		"read":      `^(deskstorm\.canary\.|amq\.gen-)`,
	}, nil)
}

var groups = []Group{
	{Name: "compute", Networks: []netip.Prefix{netip.MustParsePrefix(computeAddress + "/32")}},
	{Name: "network", Networks: []netip.Prefix{netip.MustParsePrefix(networkAddress + "/32")}},
	{Name: "control", Networks: []netip.Prefix{netip.MustParsePrefix(controlAddress + "/32")}},
}

// TestFirewall is the fault of an OpenStack whose firewall forgets silent connections, from before it is felt to after.
func TestFirewall(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	server := rabbitmqtest.StartConfigT(t, rabbitmq.Config{Namespace: n.broker, Address: brokerAddress, Management: true})
	dial := n.dialFrom(computeAddress)
	makeUsers(t, server, dial)
	uri, err := amqp.ParseURI(server.URL)
	require.NoError(t, err)
	s := serve(t, Config{Groups: groups, Brokers: []Broker{{
		Name: "bus",
		Management: &Management{
			URL: server.Management, User: "monitor", Password: configfile.Plain("monitor-secret"),
			Interval: time.Second, Timeout: 10 * time.Second, dial: dial,
		},
		Sockets: &Sockets{Ports: []uint16{uint16(uri.Port)}, Namespace: n.broker.Path(), Interval: time.Second},
		Canary: &Canary{
			Address: net.JoinHostPort(uri.Host, fmt.Sprint(uri.Port)), VHost: "canary", User: "canary",
			Password: configfile.Plain("canary-secret"), Instance: "test", Interval: 2 * time.Second, Patience: 3 * time.Second,
			Ladder: []time.Duration{3 * time.Second, 6 * time.Second, 9 * time.Second, 12 * time.Second, 15 * time.Second},
			Idle: []IdleCanary{
				{Name: "idle", Silence: 14 * time.Second},
				{Name: "idle-heartbeat", Silence: 14 * time.Second, Heartbeat: 4 * time.Second},
				{Name: "idle-keepalive", Silence: 14 * time.Second, KeepAlive: 4 * time.Second},
			},
			dial: dial,
		},
	}}})

	// The ladder finds the cut-off before any service is there.
	begun := time.Now()
	s.until("the cut-off of 10 s is between 9 and 12 s", 40*time.Second, func() bool {
		return s.value(cutOff, "lower") == 9 && s.value(cutOff, "upper") == 12
	})
	t.Logf("the ladder 3, 6, 9, 12, 15 s found the cut-off of 10 s between %g and %g s, after %.0f s",
		s.value(cutOff, "lower"), s.value(cutOff, "upper"), time.Since(begun).Seconds())

	compute := startService(t, server, dial, "nova-compute", 0, 0)
	heart := startService(t, server, n.dialFrom(controlAddress), "nova-conductor", 4*time.Second, 0)
	alive := startService(t, server, n.dialFrom(networkAddress), "neutron-dhcp-agent", 0, 4*time.Second)
	services := []*service{compute, heart, alive}
	of := map[*service][]string{
		compute: {"nova-compute", "compute"}, heart: {"nova-conductor", "control"}, alive: {"neutron-dhcp-agent", "network"},
	}
	begun = time.Now()
	foreign := foreignMessages(t, server, dial)

	// Before: nothing is lost yet, and it can be read what will be.
	s.until("the unprotected service is at risk", 20*time.Second, func() bool {
		return s.value(lossRisk, of[compute]...) == 1 && s.value(connections, of[heart]...) == 1
	})
	t.Logf("the risk was told %.1f s after the services had connected", time.Since(begun).Seconds())
	require.Equal(t, math.Inf(1), s.value(weakestProtection, of[compute]...))
	require.EqualValues(t, 1, s.value(unprotected, of[compute]...))
	require.EqualValues(t, 1, s.value(withoutHeartbeat, of[compute]...))
	require.EqualValues(t, 0, s.value(lossRisk, of[heart]...))
	require.EqualValues(t, 4, s.value(heartbeat, append(of[heart], "max")...))
	require.EqualValues(t, 2, s.value(weakestProtection, of[heart]...))
	require.EqualValues(t, 0, s.value(halfOpen, of[compute]...))
	s.until("a peer's keepalive of 4 s is seen", 30*time.Second, func() bool { return s.value(lossRisk, of[alive]...) == 0 })
	require.Less(t, s.value(weakestProtection, of[alive]...), 9.0)
	require.Greater(t, s.value(weakestProtection, of[alive]...), 3.0)
	table(t, "before, all idle", s, of, services)

	// After: a message to each.
	s.until("it was silent for longer than the firewall remembers", 20*time.Second, func() bool {
		return s.value(idle, of[compute]...) >= 11
	})
	require.Equal(t, []bool{false, true, true}, call(t, server, dial, services...))
	s.until("the connection is half-open", 15*time.Second, func() bool {
		return s.value(halfOpen, of[compute]...) == 1 && s.value(unacknowledged, of[compute]...) == 1 &&
			s.value(unacknowledgedGrowth, of[compute]...) >= 3 &&
			s.value(unacknowledged, of[heart]...)+s.value(unacknowledged, of[alive]...) == 0
	})
	require.EqualValues(t, 0, s.value(halfOpen, of[heart]...)+s.value(halfOpen, of[alive]...))
	table(t, "after a message to each", s, of, services)
	s.until("the canaries say the same", 20*time.Second, func() bool {
		return s.value(canaryUp, "idle") == 0 && s.value(canaryUp, "idle-heartbeat") == 1 &&
			s.value(canaryUp, "idle-keepalive") == 1 && s.value(canaryUp, fresh) == 1
	})
	for _, canary := range []string{fresh, "idle", "idle-heartbeat", "idle-keepalive", "ladder-9s", "ladder-12s"} {
		t.Logf("canary %-15s up %g, delivered %g, lost %g", canary, s.value(canaryUp, canary),
			s.value(canaryTrips, canary, "delivered"), s.value(canaryTrips, canary, "lost"))
	}
	require.EqualValues(t, 9, s.value(cutOff, "lower"))
	require.EqualValues(t, 12, s.value(cutOff, "upper"))

	// Nothing is left, nothing was taken.
	for _, canary := range []string{"idle", "ladder-12s", "ladder-15s"} {
		require.Zero(t, s.value(canaryCleanupFailures, canary), canary)
	}
	s.stop()
	var queues []struct{ Name string }
	require.Eventually(t, func() bool { // the broker lists a queue for a moment after it has deleted it
		queues = nil
		api(t, server, dial, "GET", "queues/canary", nil, &queues)
		return len(queues) == 0
	}, 10*time.Second, 100*time.Millisecond, "queues are left")
	type apiConnection struct {
		State string
		Name  string `json:"user_provided_name"`
	}
	var left []apiConnection
	closed := eventually(10*time.Second, func() bool {
		api(t, server, dial, "GET", "connections", nil, &left)
		return !slices.ContainsFunc(left, func(c apiConnection) bool { return own(c.Name) && c.State == "running" })
	})
	require.True(t, closed, "the broker gives half-open connections of canaries 30 s to answer, and none is left running: %v", left)
	require.Equal(t, 3, foreign())
}

func table(t *testing.T, when string, s *serving, of map[*service][]string, services []*service) {
	t.Logf("%s:", when)
	for _, service := range services {
		l := of[service]
		t.Logf("  %-19s without heartbeat %g, idle %4.1f s, weakest protection %4.3g s, risk %g, half-open %g, unacknowledged %g for %.0f s",
			l[0], s.value(withoutHeartbeat, l...), s.value(idle, l...), s.value(weakestProtection, l...), s.value(lossRisk, l...),
			s.value(halfOpen, l...), s.value(unacknowledged, l...), s.value(unacknowledgedGrowth, l...))
	}
}

// foreignMessages puts three messages into a queue that nobody consumes, and returns how to count them.
func foreignMessages(t *testing.T, server *rabbitmq.Server, dial dialFunc) func() int {
	api(t, server, dial, "PUT", "queues/"+url.PathEscape("/")+"/foreign", map[string]any{}, nil)
	for range 3 {
		api(t, server, dial, "POST", "exchanges/"+url.PathEscape("/")+"/amq.default/publish", map[string]any{
			"properties": map[string]any{}, "routing_key": "foreign", "payload": "theirs", "payload_encoding": "string",
		}, nil)
	}
	return func() int {
		var messages []any
		api(t, server, dial, "POST", "queues/"+url.PathEscape("/")+"/foreign/get", map[string]any{
			"count": 10, "ackmode": "ack_requeue_true", "encoding": "auto",
		}, &messages)
		return len(messages)
	}
}

// TestKeepAlive is a broker whose keepalive is on, watched by its host alone: without management API, and with a known
// firewall.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	server := rabbitmqtest.StartConfigT(t, rabbitmq.Config{Namespace: n.broker, Address: brokerAddress, KeepAlive: true})
	uri, err := amqp.ParseURI(server.URL)
	require.NoError(t, err)
	setKeepAlive := func(time, interval, probes string) {
		for key, value := range map[string]string{"time": time, "intvl": interval, "probes": probes} {
			require.NoError(t, n.broker.SetSysctl("net.ipv4.tcp_keepalive_"+key, value))
		}
	}
	setKeepAlive("7200", "75", "9") // the kernel's defaults
	compute := startService(t, server, n.dialFrom(computeAddress), "nova-compute", 0, 0)
	setKeepAlive("5", "2", "3")
	alive := startService(t, server, n.dialFrom(networkAddress), "neutron-dhcp-agent", 0, 0)
	setKeepAlive("7200", "75", "9")
	heart := startService(t, server, n.dialFrom(controlAddress), "nova-conductor", 4*time.Second, 0)
	setKeepAlive("5", "2", "3") // when the timer of 5 s fires, the kernel looks again; that of 7200 s is set already
	s := serve(t, Config{Groups: groups, Brokers: []Broker{{
		Name: "bus", CutOff: 10 * time.Second,
		Sockets: &Sockets{Ports: []uint16{uint16(uri.Port)}, Namespace: n.broker.Path(), Interval: time.Second},
	}}})
	s.until("keepalive of 7200 s is none, that of 5 s is one", 15*time.Second, func() bool {
		return s.value(lossRisk, "compute") == 1 && s.value(lossRisk, "network") == 0
	})
	require.InDelta(t, 7200, s.value(weakestProtection, "compute"), 5)
	require.InDelta(t, 7200, s.value(keepAlive, "compute"), 5)
	require.InDelta(t, 5, s.value(weakestProtection, "network"), 1.5)
	require.EqualValues(t, 1, s.value(sockets, "network", "keepalive"))
	require.EqualValues(t, 0, s.value(sockets, "network", "none"))
	require.True(t, math.IsNaN(s.value(withoutHeartbeat)), "nobody knows")
	s.until("heartbeats of 4 s are seen in the bytes that move", 30*time.Second, func() bool { return s.value(lossRisk, "control") == 0 })
	s.until("it was silent for longer than the firewall remembers", 20*time.Second, func() bool {
		return s.value(idle, "compute") >= 11
	})
	require.Equal(t, []bool{false, true, true}, call(t, server, n.dialFrom(computeAddress), compute, alive, heart))
	s.until("the connection is half-open", 15*time.Second, func() bool { return s.value(halfOpen, "compute") == 1 })
	require.EqualValues(t, 0, s.value(halfOpen, "network")+s.value(halfOpen, "control"))
	for _, group := range []string{"compute", "network", "control"} {
		t.Logf("%-8s keepalive %4.4g s, weakest protection %4.4g s, risk %g, half-open %g", group, s.value(keepAlive, group),
			s.value(weakestProtection, group), s.value(lossRisk, group), s.value(halfOpen, group))
	}
}
