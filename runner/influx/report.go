package influx

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Report is what became of a run's points.
type Report struct {
	Offered  int64 `json:"offered"`  // handed to Add
	Repeated int64 `json:"repeated"` // of those, such as replaced one that was offered before
	Written  int64 `json:"written"`  // acknowledged
	Buffered int64 `json:"buffered"` // wait on disk
	Dropped  int64 `json:"dropped"`  // given up, see Trouble
	// Found is what the database has of the run when asked; -1: it did not say, see Trouble.
	Found   int64    `json:"found"`
	Trouble []string `json:"trouble,omitempty"`
}

// Complete says whether the database has all points of the run.
func (r Report) Complete() bool { return r.Found >= 0 && r.Found == r.Offered-r.Repeated }

// Lost is how many points the database acknowledged and does not have, or was never given. Points that wait are not lost. It is -1
// if that is not known.
func (r Report) Lost() int64 {
	if r.Found < 0 {
		return -1
	}
	return max(0, r.Offered-r.Repeated-r.Buffered-r.Found)
}

// String is for people.
func (r Report) String() string {
	found := "InfluxDB was not asked for them"
	if r.Found >= 0 {
		found = fmt.Sprintf("InfluxDB has %d", r.Found)
	}
	text := fmt.Sprintf("%d points offered", r.Offered)
	for _, n := range []struct {
		n    int64
		what string
	}{{r.Repeated, "replaced others"}, {r.Buffered, "wait on disk"}, {r.Dropped, "were given up"}} {
		if n.n > 0 {
			text += fmt.Sprintf(", %d %s", n.n, n.what)
		}
	}
	return strings.Join(append([]string{fmt.Sprintf("%s, %d written, %s", text, r.Written, found)}, r.Trouble...), "; ")
}

// Finish waits until the run's points are written, refused, or ctx ends, and asks the database how many it has. What InfluxDB refused
// until now is tried once more. Points that still wait are sent later; nobody counts them then.
func (r *Run) Finish(ctx context.Context) Report {
	w := r.writer
	w.mu.Lock()
	w.tryAgain()
	for w.buffer.points(r.id) > 0 && w.blocked == nil && ctx.Err() == nil {
		changed := w.changed
		w.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		case <-w.done:
			ctx = ended(ctx)
		}
		w.mu.Lock()
	}
	report := Report{Offered: r.offered, Repeated: r.repeated, Written: r.written, Dropped: r.dropped,
		Buffered: w.buffer.points(r.id), Trouble: append([]string{}, r.trouble...), Found: -1}
	why := w.blocked
	if why == nil {
		why = w.last
	}
	delete(w.runs, r.id)
	w.mu.Unlock()
	if report.Buffered > 0 && why != nil {
		report.Trouble = append(report.Trouble, why.Error())
	}
	found, err := r.find(ctx, report)
	if err != nil {
		report.Trouble = append(report.Trouble, "asking for the points: "+explain(err).Error())
		return report
	}
	report.Found = found
	return report
}

// ended is a context that has.
func ended(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}

// find asks until the database has what it acknowledged: it may take a moment until that can be found.
func (r *Run) find(ctx context.Context, report Report) (int64, error) {
	if report.Written == 0 {
		return 0, nil
	}
	t := r.writer.timing
	for until := time.Now().Add(t.settle); ; {
		found, err := r.writer.count(ctx, r.id, r.experiment, r.first, r.last)
		if err == nil && found >= report.Written-report.Repeated || time.Now().After(until) {
			return found, err
		}
		select {
		case <-time.After(t.poll):
		case <-ctx.Done():
			return found, err
		}
	}
}

// flux counts a run's points by their field run, of which each has one.
func (w *Writer) flux(ctx context.Context, run, experiment string, first, last time.Time) (int64, error) {
	query := fmt.Sprintf(`from(bucket: %s)
  |> range(start: %s, stop: %s)
  |> filter(fn: (r) => r._field == "run" and r.experiment == %s)
  |> filter(fn: (r) => r._value == %s)
  |> group()
  |> count()`, quote(w.config.Bucket), first.UTC().Format(time.RFC3339Nano), last.Add(precision).UTC().Format(time.RFC3339Nano),
		quote(tidy(experiment)), quote(run))
	result, err := w.client.QueryAPI(w.config.Org).Query(ctx, query)
	if err != nil {
		return 0, err
	}
	defer result.Close()
	var n int64
	for result.Next() {
		if v, ok := result.Record().Value().(int64); ok {
			n += v
		}
	}
	return n, result.Err()
}

// quote makes a Flux text (docs.influxdata.com/flux/v0/spec/lexical-elements, string literals).
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `${`, `\${`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(s) + `"`
}
