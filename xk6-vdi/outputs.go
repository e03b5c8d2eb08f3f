package vdi

import (
	"sync"
	"time"

	"go.k6.io/k6/v2/metrics"
)

// outputs is the way to k6's outputs, which ends with the test: k6 closes the
// channel of samples then.
type outputs struct {
	mu    sync.RWMutex
	ended bool
}

// push gives samples to k6's outputs. That an iteration's context has ended
// does not matter: its last samples count too.
func (o *outputs) push(out chan<- metrics.SampleContainer, samples metrics.Samples) {
	if len(samples) == 0 {
		return
	}
	o.mu.RLock()
	defer o.mu.RUnlock()
	if !o.ended {
		out <- samples
	}
}

func (o *outputs) end() {
	o.mu.Lock()
	o.ended = true
	o.mu.Unlock()
}

// everySecond calls tell until stop is closed.
func everySecond(stop <-chan struct{}, tell func()) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			tell()
		case <-stop:
			return
		}
	}
}
