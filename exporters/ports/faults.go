package ports

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"sync"
)

// Limits of what is told of single ports.
const (
	maxLogged = 20
	maxServed = 1000
)

// faultList keeps which ports are faulty, by who told.
type faultList struct {
	mu    sync.Mutex
	found map[string][]Fault
}

// keep replaces what one source told, and logs what is new and what is gone.
func (l *faultList) keep(source string, now []Fault, log *slog.Logger) {
	l.mu.Lock()
	before := l.found[source]
	l.found[source] = now
	l.mu.Unlock()
	logChange(log, slog.LevelWarn, "a port is faulty", now, before)
	logChange(log, slog.LevelInfo, "a port's fault is gone", before, now)
}

// logChange logs what is in list and not in without.
func logChange(log *slog.Logger, level slog.Level, message string, list, without []Fault) {
	known := make(map[Fault]bool, len(without))
	for _, f := range without {
		known[f] = true
	}
	changed := 0
	for _, f := range list {
		if known[f] {
			continue
		}
		if changed++; changed <= maxLogged {
			log.Log(context.Background(), level, message, "source", f.Source, "bridge", f.Bridge, "interface", f.Interface, "iface_id", f.IfaceID,
				"domain", f.Domain, "fault", f.Fault, "detail", f.Detail)
		}
	}
	if changed > maxLogged {
		log.Log(context.Background(), level, message+"; more are in /v1/ports", "more", changed-maxLogged)
	}
}

// serveFaults answers which ports are faulty, the first thousand.
func (e *exporter) serveFaults(w http.ResponseWriter, _ *http.Request) {
	answer := struct {
		Faults  []Fault `json:"faults"`
		LeftOut int     `json:"left_out"` // how many more there are
	}{Faults: []Fault{}}
	e.mu.Lock()
	for _, source := range []string{"ovsdb", "libvirt"} {
		answer.Faults = append(answer.Faults, e.found[source]...)
	}
	e.mu.Unlock()
	if len(answer.Faults) > maxServed {
		answer.LeftOut = len(answer.Faults) - maxServed
		answer.Faults = slices.Clip(answer.Faults[:maxServed])
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // who went away misses nothing
}
