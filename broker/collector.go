package broker

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/deskstorm/deskstorm/broker/pool"
	"github.com/deskstorm/deskstorm/broker/store"
)

// scrapeTimeout bounds counting for one scrape.
const scrapeTimeout = 5 * time.Second

// collector counts desktops when Prometheus asks.
type collector struct{ broker *Broker }

var (
	desktopsDesc = prometheus.NewDesc("deskstorm_broker_desktops", "Desktops of a pool in a state.", []string{"pool", "state"}, nil)
	targetDesc   = prometheus.NewDesc("deskstorm_broker_desktops_target", "Desktops that a pool is to keep ready.", []string{"pool"}, nil)
	limitDesc    = prometheus.NewDesc("deskstorm_broker_desktops_limit", "Desktops that a pool may have in all.", []string{"pool"}, nil)
	bootsDesc    = prometheus.NewDesc("deskstorm_broker_boots_in_progress", "Desktops of a pool that boot, new ones and stopped ones.", []string{"pool"}, nil)
	waitingDesc  = prometheus.NewDesc("deskstorm_broker_logins_waiting", "Logins that wait for a desktop of a pool.", []string{"pool"}, nil)
	sessionsDesc = prometheus.NewDesc("deskstorm_broker_sessions", "Sessions that have not ended.", nil, nil)
	goalDesc     = prometheus.NewDesc("deskstorm_broker_goal_seconds",
		"The service's goal for a new desktop, and for the replacement of a broken one.", nil, nil)
)

func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{desktopsDesc, targetDesc, limitDesc, bootsDesc, waitingDesc, sessionsDesc, goalDesc} {
		out <- d
	}
}

func (c *collector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	gauge(goalDesc, pool.Goal.Seconds())
	if sessions, err := c.broker.parts.Store.CountSessions(ctx); err != nil {
		out <- prometheus.NewInvalidMetric(sessionsDesc, err)
	} else {
		gauge(sessionsDesc, float64(sessions))
	}
	for name, p := range c.broker.pools {
		gauge(targetDesc, float64(p.Spec().Ready), name)
		gauge(limitDesc, float64(p.Spec().Max), name)
		gauge(bootsDesc, float64(p.Boots()), name)
		gauge(waitingDesc, float64(p.Waiting()), name)
		counts, err := c.broker.parts.Store.Counts(ctx, name, p.Spec().ID())
		if err != nil {
			out <- prometheus.NewInvalidMetric(desktopsDesc, err)
			continue
		}
		states := map[store.State]int{store.Building: 0, store.Ready: 0, store.Assigned: 0, store.Deleting: 0}
		for _, n := range counts {
			states[n.State] += n.Desktops
		}
		for state, n := range states {
			gauge(desktopsDesc, float64(n), name, string(state))
		}
	}
}
