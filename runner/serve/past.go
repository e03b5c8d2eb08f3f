package serve

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/deskstorm/deskstorm/runner/schedule"
)

const (
	shownRuns   = 50               // on the page
	pastTimeout = 5 * time.Second  // for the history's answer
	pastMaxAge  = 10 * time.Second // of an answer: many may look at the page
)

// past is the last runs as the page shows them: the history's, and those of this process that it has not, because it is away
// or is none.
type past struct {
	mutex sync.Mutex
	own   []Entry // that ended in this process, the latest first
	kept  []Entry // the history's
	asked time.Time
	err   error
	tries int // that failed
}

func (p *past) add(e Entry) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.own = slices.Insert(p.own, 0, e)
	p.own = p.own[:min(len(p.own), shownRuns)]
	p.asked = time.Time{}
}

// look returns the last runs. The error is that of the history's last answer; there are runs all the same.
func (p *past) look(ctx context.Context, h History) ([]Entry, error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if h != nil && time.Since(p.asked) > pastMaxAge {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pastTimeout) // others wait for the answer too
		defer cancel()
		kept, err := h.List(ctx, "", shownRuns)
		if err == nil {
			p.kept = kept
		} else {
			p.tries++
		}
		p.asked, p.err = time.Now(), err
	}
	all := slices.Clone(p.kept)
	for _, e := range p.own {
		i := slices.IndexFunc(p.kept, func(k Entry) bool { return e.ID != "" && k.ID == e.ID })
		switch {
		case i < 0:
			all = append(all, e)
		case e.Outcome != Passed: // a list of the history has no verdicts, and so not why a run deviated
			all[i].Reason = cmp.Or(all[i].Reason, e.Reason)
		}
	}
	slices.SortStableFunc(all, func(a, b Entry) int { return cmp.Or(b.Began.Compare(a.Began), cmp.Compare(b.ID, a.ID)) })
	return all[:min(len(all), shownRuns)], p.err
}

func (p *past) failures() int {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.tries
}

// remember asks the history for the last run of each job, so that what is shown and measured does not begin anew with the
// process.
func (s *Server) remember(ctx context.Context) {
	if s.options.History == nil {
		return
	}
	for _, j := range s.options.Jobs {
		bounded, cancel := context.WithTimeout(ctx, pastTimeout)
		entries, err := s.options.History.List(bounded, j.Name, shownRuns)
		cancel()
		if err != nil {
			s.log.Warn("what ran before is not known", "error", err)
			return
		}
		if len(entries) > 0 {
			s.mutex.Lock()
			s.last[j.Name] = entries[0]
			s.mutex.Unlock()
		}
		s.metrics.remember(j.Name, entries)
	}
}

// follow takes what other runners' runs came to for the last of their jobs, where it is later than what is known. Runs are the latest
// first.
func (s *Server) follow(runs []Entry) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, e := range slices.Backward(runs) {
		last, known := s.last[e.Job]
		is := slices.ContainsFunc(s.options.Jobs, func(j schedule.Job) bool { return j.Name == e.Job })
		if is && (!known || e.Ended.After(last.Ended)) {
			s.last[e.Job] = e
			s.metrics.known(e)
		}
	}
}
