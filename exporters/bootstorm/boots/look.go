package boots

import "time"

// Summary is the boots under way. Its maps have only what there is.
type Summary struct {
	Waiting map[Kind]map[Step]int // by the step that they wait for
	Lost    map[Kind]int          // accepted and not begun for longer than LostAfter
	Oldest  map[Kind]time.Duration
	ByHost  map[string]int // those that a host works at
}

// Summary counts the boots under way.
func (a *Account) Summary(now time.Time) Summary {
	s := Summary{Waiting: map[Kind]map[Step]int{}, Lost: map[Kind]int{}, Oldest: map[Kind]time.Duration{}, ByHost: map[string]int{}}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, b := range a.boots {
		if s.Waiting[b.kind] == nil {
			s.Waiting[b.kind] = map[Step]int{}
		}
		s.Waiting[b.kind][a.waitsFor(b)]++
		if b.lost {
			s.Lost[b.kind]++
		}
		s.Oldest[b.kind] = max(s.Oldest[b.kind], now.Sub(b.seen))
		if b.host != "" {
			s.ByHost[b.host]++
		}
	}
	return s
}

// waitsFor is the step after the last that was reached.
func (a *Account) waitsFor(b *boot) Step {
	next, all := Begun, Steps()
	for i, s := range all[:len(all)-1] {
		if _, known := b.reached[s]; known {
			next = all[i+1]
		}
	}
	if next == Leased && !a.config.Leases {
		next = Usable
	}
	return next
}

// Waiter is a desktop whose boot waits for something outside Nova.
type Waiter struct {
	Server  string
	Address string
	MACs    []string
}

// WaitFor are the desktops whose boots wait for a step.
func (a *Account) WaitFor(step Step) (all []Waiter) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for server, b := range a.boots {
		if a.waitsFor(b) == step {
			all = append(all, Waiter{Server: server, Address: b.address, MACs: b.macs})
		}
	}
	return all
}

// Knows tells whether a server's boot is under way.
func (a *Account) Knows(server string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.boots[server] != nil
}

// ToAsk are servers that Nova should be asked for: it should be done with them for longer than LostAfter, or it is and their
// addresses are needed now and not known.
func (a *Account) ToAsk(now time.Time) (all []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for server, b := range a.boots {
		_, active := b.reached[Active]
		if !active && now.Sub(b.seen) > a.config.LostAfter || active && len(b.macs) == 0 {
			all = append(all, server)
		}
	}
	return all
}
