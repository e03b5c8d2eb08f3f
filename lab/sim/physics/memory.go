package physics

import "math"

func (d *desktop) on() bool { return d.state == Booting || d.state == Running }

// touched is what guests have touched, MiB.
func (h *host) touched() float64 {
	sum := 0.0
	for _, d := range h.desktops {
		sum += d.touched
	}
	return sum
}

// need is the memory that host and desktops need now, MiB: what does not fit is in swap.
func (h *host) need() float64 {
	if !h.alive {
		return 0
	}
	sum := h.spec.Own + h.touched() - h.merged
	for _, d := range h.desktops {
		if d.on() {
			sum += d.spec.Overhead
		}
	}
	return sum
}

// limit is what the host can hold, MiB.
func (h *host) limit() float64 { return h.spec.Memory + h.spec.Swap }

func (h *host) swapped() float64 { return max(0, min(h.need()-h.spec.Memory, h.spec.Swap)) }

// swappedShare is the share of what is needed that is in swap.
func (h *host) swappedShare() float64 {
	if s := h.swapped(); s > 0 {
		return s / h.need()
	}
	return 0
}

// swapSteps is in how many steps the filling of swap is felt: between them a host's disk is computed with the last.
const swapSteps = 16

// full is when the memory, a step of the swap, or all of it is full if all goes on as now, s. A little beyond counts: the event must
// find it so.
func (h *host) full() float64 {
	growth := -h.merging
	for _, d := range h.desktops {
		growth += d.growth
	}
	if !h.alive || growth <= 0 {
		return math.Inf(1)
	}
	need := h.need()
	mark := h.spec.Memory
	if beyond := need - mark; beyond >= 0 && h.spec.Swap > 0 {
		step := h.spec.Swap / swapSteps
		mark += step * (math.Floor(beyond/step) + 1)
	}
	return h.at + (min(max(mark, need), h.limit())-need+2*memoryRest)/growth
}

// killLargest is the OOM killer: it ends the desktop with the most memory, of equal ones the youngest. When there is none, or it has to
// act too often, the host dies: what it needs itself was hit.
func (h *host) killLargest(m *Model) {
	var largest *desktop
	for _, d := range h.desktops {
		if d.on() && (largest == nil || d.touched+d.spec.Overhead >= largest.touched+largest.spec.Overhead) {
			largest = d
		}
	}
	if largest == nil {
		h.die(m)
		return
	}
	h.end(largest, Killed)
	h.oomKills++
	m.report(func(o Observer) { o.Killed(largest.id, h.name) })
	if h.spec.FatalKills == 0 {
		return
	}
	h.kills = append(h.kills, h.at)
	for h.kills[0] < h.at-h.spec.FatalWindow.Seconds() {
		h.kills = h.kills[1:]
	}
	if len(h.kills) >= h.spec.FatalKills {
		h.die(m)
	}
}
