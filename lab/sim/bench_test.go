package sim_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim"
)

// idleDesktops cost nothing: what is measured is the APIs.
var idleDesktops = desktops(func() {})

func request(b *testing.B, client *http.Client, method, url, token, body string, status int) {
	b.Helper()
	r, err := http.NewRequest(method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("X-Auth-Token", token)
	r.Header.Set("OpenStack-API-Version", "compute 2.93")
	response, err := client.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	response.Body.Close()
	if response.StatusCode != status {
		b.Fatalf("%s %s: %d, not %d", method, url, response.StatusCode, status)
	}
}

// BenchmarkAPI measures requests through HTTP, from one client at a time.
func BenchmarkAPI(b *testing.B) {
	seeds := make([]sim.ServerSeed, 1000)
	for i := range seeds {
		seeds[i] = sim.ServerSeed{Name: fmt.Sprintf("seat-%04d", i), Metadata: map[string]string{"seat": fmt.Sprint(i)}, Tags: []string{"owner=deskstorm"}}
	}
	large := []sim.Host{{VCPUs: 1 << 20, MemoryMB: 1 << 30, DiskGB: 1 << 30}}
	lab := startLab(b, sim.Config{Servers: seeds, Desktops: idleDesktops, Users: sim.StaticUsers{"ann": "secret"}, Hosts: large})
	token := adminToken(b, lab)
	server := lab.Servers()[500].ID
	compute := base(lab) + "/compute/v2.1"
	for name, test := range map[string]struct {
		method, url, body string
		status            int
	}{
		"token issue":           {"POST", lab.AuthURL + "/auth/tokens", passwordBody("ann", "users", "secret", desktopsScope), 201},
		"GET server":            {"GET", compute + "/servers/" + server, "", 200},
		"GET detail of 1000":    {"GET", compute + "/servers/detail", "", 200},
		"GET detail by tag, 10": {"GET", compute + "/servers/detail?tags=owner%3Ddeskstorm&limit=10", "", 200},
		"POST remote-consoles":  {"POST", compute + "/servers/" + server + "/remote-consoles", `{"remote_console":{"protocol":"spice","type":"spice-html5"}}`, 200},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				request(b, http.DefaultClient, test.method, test.url, token, test.body, test.status)
			}
		})
	}
	b.Run("POST servers", func(b *testing.B) {
		big := startLab(b, sim.Config{Desktops: idleDesktops, Hosts: large})
		token := adminToken(b, big)
		body := fmt.Sprintf(`{"server":{"name":"x","flavorRef":%q,"imageRef":%q,"networks":"none","metadata":{"pool":"a"},"tags":["owner=deskstorm"]}}`,
			big.FlavorID("desktop.small"), big.ImageID("desktop"))
		for b.Loop() {
			request(b, http.DefaultClient, "POST", base(big)+"/compute/v2.1/servers", token, body, 202)
		}
	})
}

// BenchmarkManyServers measures the memory of ten thousand servers that are there from the start.
func BenchmarkManyServers(b *testing.B) {
	const many = 10_000
	seeds := make([]sim.ServerSeed, many)
	for i := range seeds {
		seeds[i] = sim.ServerSeed{Name: fmt.Sprintf("seat-%05d", i), Metadata: map[string]string{"seat": fmt.Sprint(i)}}
	}
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		lab, err := sim.Start(b.Context(), sim.Config{Servers: seeds, Hosts: make([]sim.Host, 100)})
		require.NoError(b, err)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/many, "B/server")
		require.NoError(b, lab.Close())
	}
}

// BenchmarkOldPath measures what a login without a broker asks of the cloud: a token, the seat's server by its name, a console and
// where it is. Its clients are in this process, too.
func BenchmarkOldPath(b *testing.B) {
	const seats = 200
	seeds := make([]sim.ServerSeed, seats)
	for i := range seeds {
		seeds[i] = sim.ServerSeed{Name: fmt.Sprintf("seat-%03d", i)}
	}
	lab := startLab(b, sim.Config{Servers: seeds, Users: sim.StaticUsers{"ann": "secret"}})
	admin := adminToken(b, lab)
	compute := base(lab) + "/compute/v2.1"
	servers := lab.Servers()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	defer client.CloseIdleConnections()
	var next atomic.Int64
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s := servers[int(next.Add(1))%seats]
			request(b, client, "POST", lab.AuthURL+"/auth/tokens", "", passwordBody("ann", "users", "secret", desktopsScope), 201)
			request(b, client, "GET", compute+"/servers/detail?limit=1&name=%5E"+s.Name+"%24", admin, "", 200)
			request(b, client, "POST", compute+"/servers/"+s.ID+"/remote-consoles", admin,
				`{"remote_console":{"protocol":"spice","type":"spice-html5"}}`, 200)
			request(b, client, "GET", compute+"/os-console-auth-tokens/x", admin, "", 404)
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "logins/s")
}

// BenchmarkDesktops measures servers with screens, from their creation to their end.
func BenchmarkDesktops(b *testing.B) {
	lab := startLab(b, sim.Config{})
	token := adminToken(b, lab)
	compute := base(lab) + "/compute/v2.1"
	body := fmt.Sprintf(`{"server":{"name":"x","flavorRef":%q,"imageRef":%q,"networks":"auto"}}`,
		lab.FlavorID("desktop.small"), lab.ImageID("desktop"))
	const batch = 100
	for b.Loop() {
		for range batch {
			request(b, http.DefaultClient, "POST", compute+"/servers", token, body, 202)
		}
		all := lab.Servers()
		require.Eventually(b, func() bool {
			for _, s := range all {
				if now, _ := lab.Server(s.ID); now.Status != "ACTIVE" {
					return false
				}
			}
			return true
		}, patience, time.Millisecond)
		for _, s := range all {
			request(b, http.DefaultClient, "DELETE", compute+"/servers/"+s.ID, token, "", 204)
		}
		require.Eventually(b, func() bool { return len(lab.Servers()) == 0 }, patience, time.Millisecond)
	}
	b.ReportMetric(float64(b.N)*batch/b.Elapsed().Seconds(), "desktops/s")
}
