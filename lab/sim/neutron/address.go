package neutron

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// span is a range of addresses, both ends included.
type span struct{ first, last uint32 }

// addresses are what a subnet gives out. Those that were never used go first, as a lease may still be known of the others.
type addresses struct {
	spans []span
	at    int    // the span that is being used up
	next  uint32 // in it
	used  map[uint32]bool
	free  []uint32 // given back, from what was used up
}

func newAddresses(spans []span) addresses {
	a := addresses{used: map[uint32]bool{}}
	a.setSpans(spans)
	return a
}

// setSpans begins anew with other ranges; what is used stays used.
func (a *addresses) setSpans(spans []span) {
	a.spans, a.at, a.next, a.free = spans, 0, spans[0].first, nil
}

// take gives out any address; false: there is none.
func (a *addresses) take() (uint32, bool) {
	for a.at < len(a.spans) {
		if a.next > a.spans[a.at].last || a.next < a.spans[a.at].first {
			if a.at++; a.at < len(a.spans) {
				a.next = a.spans[a.at].first
			}
			continue
		}
		n := a.next
		a.next++
		if !a.used[n] {
			a.used[n] = true
			return n, true
		}
	}
	for len(a.free) > 0 {
		n := a.free[0]
		a.free = a.free[1:]
		if !a.used[n] {
			a.used[n] = true
			return n, true
		}
	}
	return 0, false
}

// takeThis gives out one address, also one that is in no range; false: somebody has it.
func (a *addresses) takeThis(n uint32) bool {
	if a.used[n] {
		return false
	}
	a.used[n] = true
	return true
}

func (a *addresses) giveBack(n uint32) {
	delete(a.used, n)
	i := slices.IndexFunc(a.spans, func(s span) bool { return s.first <= n && n <= s.last })
	if i >= 0 && (i < a.at || i == a.at && n < a.next) {
		a.free = append(a.free, n)
	}
}

// total is how many there are in all ranges.
func (a *addresses) total() int {
	sum := 0
	for _, s := range a.spans {
		sum += int(s.last-s.first) + 1
	}
	return sum
}

func number(a netip.Addr) uint32 {
	four := a.As4()
	return binary.BigEndian.Uint32(four[:])
}

func address(n uint32) netip.Addr {
	var four [4]byte
	binary.BigEndian.PutUint32(four[:], n)
	return netip.AddrFrom4(four)
}
