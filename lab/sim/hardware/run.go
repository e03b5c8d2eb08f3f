package hardware

import (
	"slices"
	"time"

	"github.com/deskstorm/deskstorm/lab/sim/physics"
)

// run lets time pass and tells the cloud what happens, until Close.
func (h *Hardware) run() {
	defer close(h.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-h.wake:
		case <-timer.C:
		}
		h.mu.Lock()
		h.catchUp()
		h.keepAppointments()
		h.tellReplies()
		news := h.news
		h.news = nil
		timer.Reset(h.sleep())
		h.mu.Unlock()
		for _, tell := range news {
			tell()
		}
	}
}

// sleep is how long nothing happens by itself, in real time. It is called with the lock held.
func (h *Hardware) sleep() time.Duration {
	wait := time.Hour
	until := func(at time.Duration) {
		// Rounded up, or run would wake before it and find nothing.
		wait = min(wait, time.Duration(float64(at-h.model.Now())/h.config.Speed)+time.Microsecond)
	}
	if next, ok := h.model.Next(); ok {
		until(next)
	}
	if len(h.later) > 0 {
		until(h.later[0].at)
	}
	if h.dirty {
		wait = min(wait, refresh)
	}
	return max(wait, 0)
}

// after lets something be done later, in the model's time. It is called with the lock held.
func (h *Hardware) after(wait time.Duration, do func()) {
	h.later = append(h.later, appointment{h.model.Now() + wait, do})
	slices.SortStableFunc(h.later, func(a, b appointment) int { return int(a.at - b.at) })
}

// keepAppointments is called with the lock held.
func (h *Hardware) keepAppointments() {
	for len(h.later) > 0 && h.later[0].at <= h.model.Now() {
		h.news = append(h.news, h.later[0].do)
		h.later = h.later[1:]
	}
}

// tellReplies tells the cloud which desktops answer slower or faster now, at most once a refresh. It is called with the lock held.
func (h *Hardware) tellReplies() {
	if !h.dirty || time.Since(h.told) < refresh {
		return
	}
	h.told, h.dirty = time.Now(), false
	for id, s := range h.servers {
		d, err := h.model.Desktop(id)
		if err != nil || d.State != physics.Running {
			continue
		}
		reply := d.Reply.Round(time.Millisecond)
		if reply != s.reply {
			s.reply = reply
			h.news = append(h.news, func() { h.config.Cloud.Reply(id, reply) })
		}
	}
}

// observer hears from the model, with the lock held.
type observer struct{ *Hardware }

func (o observer) Booted(id string, _ time.Duration) {
	if s := o.servers[id]; s != nil {
		s.finish(nil)
	}
	if o.config.Work != nil {
		_ = o.model.Login(id, o.config.Work) // refused if it was killed since
	}
}

func (o observer) Killed(id, _ string) {
	if s := o.servers[id]; s != nil {
		s.finish(nil) // Nova has started it, and notices by and by
	}
	o.news = append(o.news, func() { o.config.Cloud.Killed(id) })
	o.after(noticeDelay, func() { o.config.Cloud.Noticed(id) })
}

func (o observer) HostDown(host string, ids []string) {
	for _, id := range ids {
		if s := o.servers[id]; s != nil && s.booting != nil {
			o.waiting[host] = append(o.waiting[host], id)
		}
	}
	o.news = append(o.news, func() { o.config.Cloud.HostDown(host, ids) })
}
