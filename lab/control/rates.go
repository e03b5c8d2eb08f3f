package control

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/deskstorm/deskstorm/lab/sim"
)

// Requests are those of a service that were answered with a status.
type Requests struct {
	Service string  `json:"service"`
	Status  int     `json:"status"` // 0: the connection was cut before an answer
	Count   int     `json:"count"`  // since the lab began
	Rate    float64 `json:"rate"`   // a second, over the last 10 seconds
}

// window is what rates are of.
const window = 10

type answered struct {
	service string
	status  int
}

// rates looks at the counts each second, so that rates do not depend on who asks for them.
type rates struct {
	read  func() map[sim.Request]int
	stop  chan struct{}
	ended chan struct{}

	mu    sync.Mutex
	looks []look // the oldest first, at most window+1
}

type look struct {
	at     time.Time
	counts map[answered]int
}

func watchRates(read func() map[sim.Request]int) *rates {
	r := &rates{read: read, stop: make(chan struct{}), ended: make(chan struct{})}
	r.look()
	go r.run()
	return r
}

func (r *rates) run() {
	defer close(r.ended)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.look()
		case <-r.stop:
			return
		}
	}
}

func (r *rates) now() look {
	now := look{time.Now(), map[answered]int{}}
	for kind, n := range r.read() {
		now.counts[answered{kind.Service, kind.Status}] += n
	}
	return now
}

func (r *rates) look() {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looks = append(r.looks, now)
	r.looks = r.looks[max(0, len(r.looks)-window-1):]
}

// requests are the counts and rates, sorted.
func (r *rates) requests() []Requests {
	now := r.now()
	r.mu.Lock()
	before := r.looks[0]
	r.mu.Unlock()
	seconds := max(now.at.Sub(before.at).Seconds(), 1)
	list := []Requests{}
	for _, kind := range slices.SortedFunc(maps.Keys(now.counts), func(a, b answered) int {
		return cmp.Or(cmp.Compare(a.service, b.service), cmp.Compare(a.status, b.status))
	}) {
		n := now.counts[kind]
		list = append(list, Requests{kind.service, kind.status, n, float64(n-before.counts[kind]) / seconds})
	}
	return list
}

func (r *rates) close() {
	close(r.stop)
	<-r.ended
}
