package directory_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	sim "github.com/deskstorm/deskstorm/lab/sim/directory"
	"github.com/deskstorm/deskstorm/lab/slapd"
)

// BenchmarkLogin has 16 thin clients log in people of a call centre of 2,000, with nested groups remembered and not.
func BenchmarkLogin(b *testing.B) {
	const people = 2000
	c := sim.Callcenter(people)
	servers := map[string]func(b *testing.B) string{
		"simulated": func(b *testing.B) string { return startSim(b, c).URL },
		"OpenLDAP":  func(b *testing.B) string { return startSlapd(b, c, slapd.Config{}).URL },
	}
	for _, server := range []string{"OpenLDAP", "simulated"} {
		for _, ttl := range []time.Duration{time.Minute, 0} {
			b.Run(fmt.Sprintf("%s/TTL=%v", server, ttl), func(b *testing.B) {
				config := configure(c, servers[server](b))
				config.GroupTTL = ttl
				d := open(b, config)
				var next atomic.Int64
				b.SetParallelism(8)
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						name := fmt.Sprintf("agent%04d", next.Add(1)%people+1)
						if _, err := d.Login(b.Context(), name, sim.Password(name)); err != nil {
							b.Error(err)
							return
						}
					}
				})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "logins/s")
			})
		}
	}
}
