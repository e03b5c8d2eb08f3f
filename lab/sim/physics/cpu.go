package physics

import "math"

// processors are the CPUs of a host at one moment.
type processors struct {
	cpus float64
	// people are the vCPUs of desktops that somebody may work at, offering the load (CPUs) if nothing slows them down.
	people, load float64
	boots        float64 // CPUs that boots could use
}

// stretch is how much longer CPU work takes because others share the CPUs, at least 1 (processor sharing). People wait for a reply
// before they go on, so that they ask for less when it takes longer.
func (p processors) stretch() float64 {
	if p.load+p.boots <= p.cpus {
		return 1
	}
	return root(1, (p.people+p.boots)/p.cpus, func(x float64) float64 { return (p.asking(x)+p.boots)/p.cpus - x })
}

// asking is how many vCPUs of people want a CPU at a moment when all takes x times as long.
func (p processors) asking(x float64) float64 {
	if p.people == 0 {
		return 0
	}
	a := p.load / p.people
	return p.people * a * x / (1 - a + a*x)
}

// replyStretch is how much longer a reply's CPU work takes, with the queueing that the load's chance makes before all CPUs are busy:
// Sakasegawa's approximation of the wait in front of several servers, rho^(sqrt(2(c+1))-1) / (c (1-rho)) of a service time (H.
// Sakasegawa, "An approximation formula Lq = alpha rho^beta/(1-rho)", 1977), for a load that falls as replies take longer.
func (p processors) replyStretch() float64 {
	fair := p.stretch()
	if p.people == 0 || p.load == 0 {
		return fair
	}
	c := max(p.cpus-p.boots/fair, p.cpus/100)
	power := math.Sqrt(2*(c+1)) - 1
	wait := func(x float64) float64 {
		rho := p.asking(x) / x / c
		if rho >= 1 {
			return math.MaxFloat64
		}
		return 1 + math.Pow(rho, power)/(c*(1-rho)) - x
	}
	return max(fair, root(1, 2+p.people/c, wait))
}

// root is where a falling function is 0, between low and high.
func root(low, high float64, f func(float64) float64) float64 {
	for range 40 { // to a relative error of 1e-12
		middle := (low + high) / 2
		if f(middle) > 0 {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}
