package physics

import "math"

// mergeable is what KSM could have merged of the host's memory, MiB, and how fast that grows, MiB/s; trimmed is the part of it that
// stays given back when merging is undone.
func (h *host) mergeable() (all, growth, trimmed float64) {
	for _, d := range h.desktops {
		share := d.shared()
		all += share * d.touched
		growth += share * d.growth
		trimmed += d.spec.Trimmed * d.touched
	}
	return all, growth, trimmed
}

// scanSpeed is how fast ksmd merges, MiB/s: it scans all memory of guests, and merges a page that it has met twice unchanged.
func (h *host) scanSpeed(mergeable float64) float64 {
	touched := h.touched()
	if !h.ksm || touched == 0 {
		return 0
	}
	return h.spec.ScanRate * mergeable / touched / 2
}

// saved is what merging saves now, MiB: all that the scan gave back but what it gave back for good, which comes first.
func (h *host) saved() float64 {
	_, _, trimmed := h.mergeable()
	return max(0, h.merged-trimmed)
}

// rewrite undoes a share of the merging.
func (h *host) rewrite(share float64) { h.merged -= h.saved() * share }

// settleMerging sets how fast the merged memory grows, and when that changes by itself.
func (h *host) settleMerging() {
	all, growth, _ := h.mergeable()
	speed := h.scanSpeed(all)
	h.merged = min(h.merged, all) // what is written to is no longer merged
	h.merging, h.mergedUntil = 0, math.Inf(1)
	switch {
	case h.merged >= all-memoryRest:
		h.merging = min(growth, speed)
	case growth >= speed:
		h.merging = speed
	default:
		h.merging = speed
		h.mergedUntil = h.at + (all-h.merged)/(speed-growth)
	}
}
