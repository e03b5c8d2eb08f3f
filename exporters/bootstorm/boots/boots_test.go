package boots

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var zero = time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return zero.Add(time.Duration(seconds * float64(time.Second))) }

// diary writes down what an Observer is told.
type diary struct{ lines []string }

func (d *diary) add(format string, args ...any) {
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}
func (d *diary) Accepted(k Kind)                      { d.add("%s accepted", k) }
func (d *diary) Took(k Kind, s Step, t time.Duration) { d.add("%s %s %s", k, s, t) }
func (d *diary) Ended(k Kind, r Result)               { d.add("%s %s", k, r) }
func (d *diary) Failed(k Kind, class string)          { d.add("%s failed: %s", k, class) }
func (d *diary) Lost(k Kind)                          { d.add("%s lost", k) }

func TestAccount(t *testing.T) {
	const s = "server"
	accepted := Sighting{Server: s, Kind: Create, What: WasAccepted, At: at(0)}
	begun := Sighting{Server: s, Kind: Create, What: HasBegun, At: at(2), Host: "node7"}
	active := Sighting{Server: s, Kind: Create, What: IsActive, At: at(10), MACs: []string{"fa:16:3e:00:00:01"}, Address: "10.0.0.5"}
	leased := Sighting{Server: s, What: IsLeased, At: at(25)}
	usable := Sighting{Server: s, What: IsUsable, At: at(40)}
	all := []string{"create accepted", "create begun 2s", "create active 8s", "create leased 15s", "create usable 15s", "create total 40s", "create completed"}
	for name, test := range map[string]struct {
		config Config
		see    []Sighting
		want   []string
	}{
		"whole":                   {Config{Leases: true, Usable: true}, []Sighting{accepted, begun, active, leased, usable}, all},
		"all twice":               {Config{Leases: true, Usable: true}, []Sighting{accepted, accepted, begun, begun, active, active, leased, leased, usable, usable}, all},
		"late ones after the end": {Config{Leases: true, Usable: true}, []Sighting{accepted, begun, active, leased, usable, active, begun, accepted}, all},
		"acceptance comes late": {Config{}, []Sighting{begun, accepted, active},
			[]string{"create accepted", "create begun 0s", "create active 8s", "create total 10s", "create completed"}},
		"nothing but ACTIVE": {Config{}, []Sighting{accepted, active},
			[]string{"create accepted", "create active 10s", "create total 10s", "create completed"}},
		"no leases to be seen": {Config{Usable: true}, []Sighting{accepted, begun, active, usable},
			[]string{"create accepted", "create begun 2s", "create active 8s", "create usable 30s", "create total 40s", "create completed"}},
		"a lease from before ACTIVE": {Config{Leases: true}, []Sighting{accepted, begun, active, {Server: s, What: IsLeased, At: at(9)}},
			[]string{"create accepted", "create begun 2s", "create active 8s", "create leased 0s", "create total 10s", "create completed"}},
		"a lease of an earlier life": {Config{Leases: true}, []Sighting{
			{Server: s, Kind: Start, What: WasAccepted, At: at(0)}, {Server: s, What: IsLeased, At: at(-100)}, {Server: s, Kind: Start, What: IsActive, At: at(3)},
			{Server: s, What: IsLeased, At: at(-100)}, {Server: s, What: IsLeased, At: at(20)}},
			[]string{"start accepted", "start active 3s", "start leased 17s", "start total 20s", "start completed"}},
		"clocks that differ": {Config{}, []Sighting{accepted, {Server: s, What: HasBegun, At: at(-1)}, active},
			[]string{"create accepted", "create begun 0s", "create active 11s", "create total 10s", "create completed"}},
		"failed": {Config{}, []Sighting{accepted, begun, {Server: s, What: HasFailed, At: at(5), Fault: "network"}},
			[]string{"create accepted", "create begun 2s", "create failed: network", "create failed"}},
		"failed on one host and built on another": {Config{}, []Sighting{accepted, begun, {Server: s, What: HasStumbled, Fault: "hypervisor", At: at(4)}, active},
			[]string{"create accepted", "create begun 2s", "create active 8s", "create total 10s", "create completed"}},
		"failed on all hosts": {Config{}, []Sighting{accepted, {Server: s, What: HasStumbled, Fault: "hypervisor", At: at(4)}, {Server: s, What: HasFailed, At: at(5)}},
			[]string{"create accepted", "create failed: hypervisor", "create failed"}},
		"failed for no reason that was told": {Config{}, []Sighting{accepted, {Server: s, What: HasFailed, At: at(5)}},
			[]string{"create accepted", "create failed: other", "create failed"}},
		"deleted": {Config{}, []Sighting{accepted, {Server: s, What: IsGone, At: at(5)}, {Server: s, What: IsGone, At: at(5)}},
			[]string{"create accepted", "create deleted"}},
		"strangers": {Config{}, []Sighting{{Server: s, What: IsGone}, {Server: s, What: IsLeased}, {Server: s, What: IsActive}, {Server: s, What: HasFailed}}, nil},
		"again": {Config{}, []Sighting{accepted, active, {Server: s, Kind: Reboot, What: WasAccepted, At: at(60)}, {Server: s, Kind: Reboot, What: IsActive, At: at(65)}},
			[]string{"create accepted", "create active 10s", "create total 10s", "create completed", "reboot accepted", "reboot active 5s", "reboot total 5s", "reboot completed"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := &diary{}
			test.config.Observer, test.config.LostAfter, test.config.GiveUpAfter = d, time.Minute, time.Hour
			a := New(test.config)
			for _, sighting := range test.see {
				a.See(sighting, zero)
			}
			require.Equal(t, test.want, d.lines)
			require.Empty(t, a.boots)
		})
	}
}

func TestLost(t *testing.T) {
	d := &diary{}
	a := New(Config{LostAfter: time.Minute, GiveUpAfter: time.Hour, Observer: d})
	a.See(Sighting{Server: "lost", Kind: Create, What: WasAccepted, At: at(0)}, at(0))
	a.See(Sighting{Server: "slow", Kind: Create, What: WasAccepted, At: at(0)}, at(0))
	a.See(Sighting{Server: "slow", Kind: Create, What: HasBegun, At: at(1), Host: "node7"}, at(1))
	a.Tick(at(60))
	require.Empty(t, a.Summary(at(60)).Lost)
	require.Empty(t, a.ToAsk(at(60)))
	a.Tick(at(61))
	a.Tick(at(62))
	require.ElementsMatch(t, []string{"lost", "slow"}, a.ToAsk(at(62)))
	require.Equal(t, Summary{
		Waiting: map[Kind]map[Step]int{Create: {Begun: 1, Active: 1}}, Lost: map[Kind]int{Create: 1},
		Oldest: map[Kind]time.Duration{Create: 62 * time.Second}, ByHost: map[string]int{"node7": 1},
	}, a.Summary(at(62)))

	a.See(Sighting{Server: "lost", Kind: Create, What: HasBegun, At: at(90)}, at(90))
	require.Empty(t, a.Summary(at(90)).Lost, "it was found")
	a.Tick(at(3601))
	require.Empty(t, a.boots)
	require.ElementsMatch(t, []string{
		"create accepted", "create accepted", "create begun 1s", "create lost", "create begun 1m30s",
		"create failed: timeout", "create failed", "create failed: timeout", "create failed",
	}, d.lines)
}

func TestWaitFor(t *testing.T) {
	a := New(Config{Leases: true, Usable: true, LostAfter: time.Minute, GiveUpAfter: time.Hour, Observer: &diary{}})
	a.See(Sighting{Server: "s", Kind: Create, What: IsActive, At: at(0), MACs: []string{"m"}, Address: "10.0.0.5"}, at(0))
	require.Equal(t, []Waiter{{Server: "s", Address: "10.0.0.5", MACs: []string{"m"}}}, a.WaitFor(Leased))
	require.Empty(t, a.WaitFor(Usable))
	require.Empty(t, a.ToAsk(at(0)))
	a.See(Sighting{Server: "of no address", Kind: Start, What: IsActive, At: at(0)}, at(0))
	require.Equal(t, []string{"of no address"}, a.ToAsk(at(0)))
	a.See(Sighting{Server: "of no address", What: IsGone}, at(0))
	a.See(Sighting{Server: "s", What: IsLeased, At: at(5)}, at(5))
	require.Empty(t, a.WaitFor(Leased))
	require.Len(t, a.WaitFor(Usable), 1)
	require.True(t, a.Knows("s"))
}

// TestMemory: an account that is full takes no more, and one whose boots end forgets them.
func TestMemory(t *testing.T) {
	a := New(Config{LostAfter: time.Minute, GiveUpAfter: time.Hour, Observer: &diary{}})
	for i := range maxBoots + 10 {
		a.See(Sighting{Server: fmt.Sprint(i), Kind: Create, What: WasAccepted, At: at(0)}, at(0))
	}
	require.Len(t, a.boots, maxBoots)
	a.Tick(at(3601))
	require.Empty(t, a.boots)
	a.Tick(at(2 * 3602))
	require.Empty(t, a.ended)
}
