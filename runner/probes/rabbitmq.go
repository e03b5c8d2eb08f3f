package probes

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/google/uuid"

	"github.com/deskstorm/deskstorm/internal/authority"
	"github.com/deskstorm/deskstorm/internal/netspace"
	"github.com/deskstorm/deskstorm/probe/amqp"
	"github.com/deskstorm/deskstorm/runner/native"
)

// canaryHeartbeat finds a dead connection of a fresh canary, where the silence of others is the question.
const canaryHeartbeat = 10 * time.Second

func (p *prober) rabbitmq() []native.Function {
	broker := native.Parameter{Name: "broker", Type: native.Text, Doc: "which of the configuration's; absent: the only one"}
	heartbeat := native.Parameter{Name: "heartbeat", Type: native.Duration, Doc: "of the silent connection, in whole seconds; absent: none"}
	keepalive := native.Parameter{Name: "keepalive", Type: native.Duration, Doc: "of its TCP, the idle time and the interval; absent: none"}
	return []native.Function{{
		Name: "amqp.canary", Kind: native.Probe,
		Doc:        "Sends itself a message through RabbitMQ on a fresh connection: ok, outcome, latency_ms.",
		Parameters: []native.Parameter{broker}, Run: p.canary,
	}, {
		Name: "amqp.idle", Kind: native.Probe,
		Doc: "Keeps a connection silent, then has a message sent to it: ok, outcome; lost is what a firewall does that forgot the connection.",
		Parameters: []native.Parameter{broker,
			{Name: "silence", Type: native.Duration, Required: true, Doc: "how long"}, heartbeat, keepalive},
		Run: p.idle,
	}, {
		Name: "amqp.ladder", Kind: native.Probe,
		Doc: "Keeps connections silent for several times at once: after how long a silence they are cut. It takes as long as the longest.",
		Parameters: []native.Parameter{broker,
			{Name: "silences", Type: native.List, Required: true, Doc: `such as ["1m", "5m", "15m"]; none: nothing is tried`}, heartbeat, keepalive},
		Run: p.ladder,
	}}
}

// trip is a canary's.
type trip struct {
	OK         bool         `json:"ok"`
	Outcome    amqp.Outcome `json:"outcome"`
	Connect    float64      `json:"connect_ms"`
	Latency    float64      `json:"latency_ms"`
	Error      string       `json:"error,omitempty"`
	LeftBehind string       `json:"left_behind,omitempty"` // why the canary's queue may still be there
}

func tripOf(r amqp.Result) trip {
	t := trip{OK: r.Outcome == amqp.Delivered, Outcome: r.Outcome, Connect: milliseconds(r.Connect), Latency: milliseconds(r.Latency)}
	if r.Err != nil {
		t.Error = r.Err.Error()
	}
	if r.LeftBehind != nil {
		t.LeftBehind = r.LeftBehind.Error()
	}
	return t
}

// target is a broker of the configuration, for canaries with these arguments.
func (p *prober) target(function string, a native.Arguments) (amqp.Target, error) {
	if len(p.Config.RabbitMQ) == 0 {
		return amqp.Target{}, missing(function, rabbitmqSection)
	}
	b, err := named("message broker", p.Config.RabbitMQ, a.Text("broker", ""), func(b RabbitMQ) string { return b.Name })
	if err != nil {
		return amqp.Target{}, err
	}
	password, err := b.Password.Read()
	if err != nil {
		return amqp.Target{}, err
	}
	t := amqp.Target{
		Address: b.Address, VHost: b.VHost, User: b.User, Password: password, Name: "deskstorm " + function, Patience: b.Patience,
		Heartbeat: a.Duration("heartbeat", 0).Truncate(time.Second), Dial: netspace.Dialer(b.Namespace),
	}
	if every := a.Duration("keepalive", 0); every > 0 {
		t.KeepAlive = net.KeepAliveConfig{Enable: true, Idle: every, Interval: every, Count: 3}
	}
	if b.TLS {
		t.TLS = &tls.Config{}
		if b.CA != "" {
			if t.TLS.RootCAs, err = authority.Read(b.CA); err != nil {
				return amqp.Target{}, err
			}
		}
	}
	return t, nil
}

func (p *prober) canary(ctx context.Context, a native.Arguments) (any, error) {
	t, err := p.target("amqp.canary", a)
	if err != nil {
		return nil, err
	}
	t.Heartbeat = canaryHeartbeat
	return tripOf(amqp.RoundTrip(ctx, t)), ctx.Err()
}

// queue is the name of a canary's own queue: a canary deletes what it finds of its name.
func queue() string { return amqp.QueuePrefix + "run." + uuid.NewString() + "." }

func (p *prober) idle(ctx context.Context, a native.Arguments) (any, error) {
	t, err := p.target("amqp.idle", a)
	if err != nil {
		return nil, err
	}
	return tripOf(amqp.AfterIdle(ctx, t, queue()+"idle", a.Duration("silence", 0))), ctx.Err()
}

// ladder is what a ladder of canaries found.
type ladder struct {
	Rungs []rung `json:"rungs"`
	// Survived is the longest silence that a connection survived, 0 if none. Cut is the shortest that it did not, nil if there is none.
	Survived float64  `json:"survived_seconds"`
	Cut      *float64 `json:"cut_seconds"`
}

type rung struct {
	Silence float64 `json:"silence_seconds"`
	trip
}

// maxRungs bounds the connections of a ladder.
const maxRungs = 64

func (p *prober) ladder(ctx context.Context, a native.Arguments) (any, error) {
	var silences []time.Duration
	for _, text := range a.Texts("silences") {
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 || d > 24*time.Hour {
			return nil, native.Wrong("silences", "%q is no duration above 0 and up to 24h", text)
		}
		silences = append(silences, d)
	}
	switch n := len(silences); {
	case n == 0:
		return ladder{Rungs: []rung{}}, nil // nobody is asked, so that one experiment serves with and without a message bus
	case n > maxRungs:
		return nil, native.Wrong("silences", "expected at most %d durations", maxRungs)
	}
	t, err := p.target("amqp.ladder", a)
	if err != nil {
		return nil, err
	}
	rungs, results := amqp.Ladder(ctx, t, queue(), silences)
	var l ladder
	for i, r := range results {
		l.Rungs = append(l.Rungs, rung{silences[i].Seconds(), tripOf(r)})
	}
	survived, cut := amqp.CutOff(rungs)
	l.Survived = survived.Seconds()
	if cut != amqp.Unknown {
		seconds := cut.Seconds()
		l.Cut = &seconds
	}
	return l, ctx.Err()
}
