package fault

import "context"

// amqpPort is AMQP's without TLS.
const amqpPort = 5672

func amqpPartition() kind {
	return kind{
		name: "amqp.partition", doc: "parts a broker of messages from its clients: their packets are dropped",
		parameters: trafficParameters(),
		host:       func(ctx context.Context, r *request) error { return r.blackhole(ctx, amqpPort) },
	}
}
