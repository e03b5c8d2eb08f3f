package runner

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/deskstorm/deskstorm/results"
	"github.com/deskstorm/deskstorm/runner/influx"
	"github.com/deskstorm/deskstorm/runner/record"
)

// points gives a run's windows to InfluxDB while the run goes on, each once it is complete.
type points struct {
	recorder *record.Recorder
	run      *influx.Run
	log      *slog.Logger
	until    time.Time     // windows that begin before it were given
	done     chan struct{} // closed when follow has ended
}

// pointsAfter is when a window is taken to be complete: it is 10 s long, k6 writes it a second after its end, and several processes'
// lines are merged.
const pointsAfter = time.Minute

// beginPoints begins to give the run's windows to InfluxDB, if there is one.
func (r *Run) beginPoints(ctx context.Context) error {
	if r.runner.influx == nil || r.request.Dry != "" {
		return nil
	}
	outline := r.Outline()
	begun, err := r.runner.influx.Begin(r.ID, outline.Experiment)
	if err != nil {
		return fmt.Errorf("beginning the run's points for InfluxDB: %w", err)
	}
	r.points = &points{recorder: r.Recorder, run: begun, log: r.log, done: make(chan struct{})}
	go func() { defer close(r.points.done); r.points.follow(ctx) }()
	return nil
}

// finishPoints gives the last windows, and counts what arrived. Points that wait for InfluxDB to come back are no failure of the run.
func (r *Run) finishPoints(ctx context.Context) {
	if r.points == nil {
		return
	}
	<-r.points.done
	r.points.give(time.Now().Add(time.Hour))
	ctx, cancel := context.WithTimeout(ctx, pointsPatience)
	defer cancel()
	report := r.points.run.Finish(ctx)
	r.Change(func(run *record.Run) {
		run.Points = &record.Points{Offered: report.Offered, Written: report.Written, Buffered: report.Buffered,
			Dropped: report.Dropped, Lost: report.Lost(), Trouble: report.Trouble}
	})
	c := &r.runner.counts
	c.offered.Add(uint64(report.Offered))
	c.written.Add(uint64(report.Written))
	c.dropped.Add(uint64(report.Dropped))
	if !report.Complete() {
		r.log.Warn("InfluxDB does not have all points of the run", "report", report.String())
	}
}

// pointsPatience is how long the end of a run waits for InfluxDB.
const pointsPatience = 30 * time.Second

// follow gives complete windows until ctx ends.
func (p *points) follow(ctx context.Context) {
	ticker := time.NewTicker(pointsAfter / 2)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			p.give(now.Add(-pointsAfter))
		}
	}
}

// give gives the windows that begin before a time and were not given yet.
func (p *points) give(before time.Time) {
	from := p.until
	p.until = before
	windows := p.recorder.Select(func(_ results.Series, start time.Time) bool { return !start.Before(from) && start.Before(before) })
	if err := p.run.Add(windows...); err != nil {
		p.log.Warn("points for InfluxDB could not be kept", "error", err)
	}
}
