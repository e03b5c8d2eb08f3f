package fault

import "context"

func netBlackhole() kind {
	return kind{
		name: "net.blackhole", doc: "drops all of a service's packets, as a cable that was pulled",
		parameters: trafficParameters(),
		host:       func(ctx context.Context, r *request) error { return r.blackhole(ctx, 0) },
	}
}

func (r *request) blackhole(ctx context.Context, otherPort int) error {
	t, err := r.traffic(otherPort)
	if err != nil {
		return err
	}
	r.whats("%s are dropped", t)
	return r.filters(ctx, t.everywhere("counter drop"))
}
