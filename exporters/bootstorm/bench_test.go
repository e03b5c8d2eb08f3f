package bootstorm

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/deskstorm/deskstorm/cloud/notification"
	"github.com/deskstorm/deskstorm/exporters/bootstorm/boots"
	"github.com/deskstorm/deskstorm/exporters/collector"
)

// BenchmarkScrape gathers while so many desktops boot.
func BenchmarkScrape(b *testing.B) {
	for _, desktops := range []int{1000, 10_000} {
		b.Run(fmt.Sprint(desktops), func(b *testing.B) {
			counts := newCounters()
			account := boots.New(boots.Config{LostAfter: time.Minute, GiveUpAfter: time.Hour, Observer: counts})
			now := time.Now()
			for i := range desktops {
				account.See(boots.Sighting{Server: fmt.Sprint(i), Kind: boots.Create, What: boots.WasAccepted, At: now}, now)
			}
			registry := prometheus.NewRegistry()
			registry.MustRegister(collector.NewSet([]collector.Exporter{{
				Name: "bootstorm", Families: Families(), Live: append(counts.live(), underWay{account, time.Now}),
			}}, slog.New(slog.DiscardHandler)))
			for b.Loop() {
				if _, err := registry.Gather(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkNotification takes in the three notifications of a build.
func BenchmarkNotification(b *testing.B) {
	account := boots.New(boots.Config{LostAfter: time.Minute, GiveUpAfter: time.Hour, Observer: newCounters()})
	now := time.Now()
	n := 0
	for b.Loop() {
		n++
		payload := json.RawMessage(fmt.Sprintf(`{"instance_id":"%d","host":"node7","created_at":"2026-11-26 08:00:00","state":"building","memory_mb":4096}`, n))
		for _, event := range []string{"compute.instance.update", "compute.instance.create.start", "compute.instance.create.end"} {
			for _, s := range sightings(notification.Notification{Event: event, Payload: payload, Time: now}) {
				account.See(s, now)
			}
		}
	}
}
