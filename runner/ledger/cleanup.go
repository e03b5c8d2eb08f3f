package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/deskstorm/deskstorm/cloud"
)

// Options say what Cleanup removes.
type Options struct {
	Run   string // of this run; empty: of all runs
	Owner string // only what is this owner's (see cloud.Config); empty: of all
	// Living says of a run whether it goes on; what is its own is left alone. Nil: none goes on. From another machine nobody can know:
	// see MinAge.
	Living      func(run string) bool
	MinAge      time.Duration // younger ones are left alone, by this machine's clock
	AllProjects bool          // not only of the project that the cloud was logged in to; administrators only
	DryRun      bool          // nothing is removed
	// Settle is how long after nothing is left it is looked for once more: a dead runner's request may have been on its way. 2 s if 0,
	// negative: it is not.
	Settle time.Duration
}

const (
	defaultSettle = 2 * time.Second
	// goneTime is how long a cloud may take to remove a server.
	goneTime = 5 * time.Minute
	poll     = 500 * time.Millisecond
	askAgain = 30 * time.Second
)

// Found is a resource that a run left in a cloud.
type Found struct {
	Kind string `json:"kind"` // "server", "port"
	ID   string `json:"id"`
	Name string `json:"name"`
	Run  string `json:"run"`
}

// Report is what Cleanup did; with DryRun, Removed is what it would have removed.
type Report struct {
	Removed []Found  `json:"removed"`
	Left    []Found  `json:"left"`   // could not be removed
	Living  []string `json:"living"` // runs that go on
}

// Cleanup removes what runs left in a cloud, by the marks on it alone, and returns when it is gone. It is fine to do so again, and from
// several machines at once.
func Cleanup(ctx context.Context, c *cloud.Cloud, o Options) (Report, error) {
	if o.Settle == 0 {
		o.Settle = defaultSettle
	}
	var report Report
	ctx, cancel := context.WithTimeoutCause(ctx, goneTime, fmt.Errorf("the cloud has not removed it within %s", goneTime))
	defer cancel()
	asked := map[string]time.Time{}
	var settled time.Time // when it may be taken for done
	for {
		found, living, err := find(ctx, c, o)
		if err != nil {
			return report, fmt.Errorf("looking for what runs left in the cloud: %w", err)
		}
		report.Living = living
		if o.DryRun {
			report.Removed = found
			return report, nil
		}
		var errs []error
		var refused []Found
		for _, f := range found {
			before := asked[f.ID]
			if time.Since(before) < askAgain {
				continue
			}
			if err := remove(ctx, c, f); err != nil {
				errs, refused = append(errs, err), append(refused, f)
				continue
			}
			asked[f.ID] = time.Now()
			if before.IsZero() {
				report.Removed = append(report.Removed, f)
			}
		}
		failed := errors.Join(errs...)
		if failed != nil && !retries(failed) {
			report.leave(refused)
			return report, fmt.Errorf("removing what runs left in the cloud: %w", failed)
		}
		switch now := time.Now(); {
		case len(found) > 0:
			settled = time.Time{}
		case o.Settle < 0 || !settled.IsZero() && !now.Before(settled):
			return report, nil
		case settled.IsZero():
			settled = now.Add(o.Settle)
		}
		select {
		case <-ctx.Done():
			report.leave(found)
			return report, fmt.Errorf("removing what runs left in the cloud: %d are still there: %w", len(found), errors.Join(failed, context.Cause(ctx)))
		case <-time.After(poll):
		}
	}
}

// retries says whether trying again may help.
func retries(err error) bool {
	return !errors.Is(err, cloud.ErrForbidden) && !errors.Is(err, cloud.ErrUnauthorized)
}

// leave moves what is still there from Removed to Left.
func (r *Report) leave(found []Found) {
	r.Left = found
	r.Removed = slices.DeleteFunc(r.Removed, func(f Found) bool { return slices.Contains(found, f) })
}

func find(ctx context.Context, c *cloud.Cloud, o Options) (found []Found, living []string, err error) {
	filter := cloud.Filter{AllProjects: o.AllProjects}
	if o.Run != "" {
		filter.Tags = []string{cloud.RunTag + "=" + o.Run}
	}
	servers, err := c.Servers(ctx, filter)
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	add := func(f Found, owner string, created time.Time) {
		switch {
		case f.Run == "" || o.Run != "" && f.Run != o.Run || o.Owner != "" && owner != o.Owner:
		case o.MinAge > 0 && now.Sub(created) < o.MinAge:
		case o.Living != nil && o.Living(f.Run):
			living = append(living, f.Run)
		default:
			found = append(found, f)
		}
	}
	for _, s := range servers {
		var owner, run string
		for _, tag := range s.Tags {
			if value, ok := strings.CutPrefix(tag, cloud.RunTag+"="); ok {
				run = value
			}
			if value, ok := strings.CutPrefix(tag, cloud.OwnerTag+"="); ok {
				owner = value
			}
		}
		add(Found{"server", s.ID, s.Name, run}, owner, s.Created)
	}
	ports, err := c.RunPorts(ctx)
	if err != nil && !errors.Is(err, cloud.ErrNotOffered) {
		return nil, nil, err
	}
	for _, p := range ports {
		add(Found{"port", p.ID, p.Name, p.Run}, p.Owner, p.Created)
	}
	slices.Sort(living)
	return found, slices.Compact(living), nil
}

func remove(ctx context.Context, c *cloud.Cloud, f Found) error {
	if f.Kind == "port" {
		return c.DeletePort(ctx, f.ID)
	}
	return c.DeleteServer(ctx, f.ID)
}
