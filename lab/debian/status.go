package debian

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/deskstorm/deskstorm/lab/debian/daemon"
)

// ServiceStatus is how one program of the lab stands.
type ServiceStatus struct {
	Name   string    `json:"name"`
	PID    int       `json:"pid,omitempty"` // 0: it does not run
	Began  time.Time `json:"began,omitzero"`
	Ports  []int     `json:"ports,omitempty"` // at the lab's address
	Memory int64     `json:"memory"`          // of it and what it started, in bytes, what is shared divided
	Health string    `json:"health"`          // "ok", "stopped", or what is wrong
}

// Healthy and Stopped are what Health says but for errors.
const (
	Healthy = "ok"
	Stopped = "stopped"
)

// Status is how all programs of the lab stand, in the order in which they are started.
func (l *Lab) Status(ctx context.Context) []ServiceStatus {
	all := l.services()
	list := make([]ServiceStatus, len(all))
	var wait sync.WaitGroup
	for i, s := range all {
		wait.Go(func() { list[i] = l.statusOf(ctx, s) })
	}
	wait.Wait()
	return list
}

func (l *Lab) statusOf(ctx context.Context, s service) ServiceStatus {
	status := ServiceStatus{Name: s.name, Ports: s.ports, Health: Stopped}
	r, err := l.daemons.Find(s.name)
	if err != nil || !r.Alive() {
		return status
	}
	status.PID, status.Began, status.Health = r.PID, r.Began, Healthy
	if status.Memory, err = r.Memory(); err == nil {
		err = s.check(ctx, l)
	}
	if err != nil {
		status.Health = err.Error()
	}
	return status
}

// Running tells whether any program of the lab runs.
func (l *Lab) Running() bool {
	all, err := l.daemons.All()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(all, func(r daemon.Record) bool { return r.Alive() })
}
