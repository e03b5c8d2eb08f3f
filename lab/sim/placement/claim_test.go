package placement

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCapacity(t *testing.T) {
	for _, test := range []struct {
		i    Inventory
		want int
	}{
		{Inventory{Total: 100, AllocationRatio: 1}, 100},
		{Inventory{Total: 100, Reserved: 30, AllocationRatio: 1.5}, 105},
		{Inventory{Total: 3, AllocationRatio: 1.5}, 4}, // cut, not rounded
		{Inventory{Total: 100, AllocationRatio: 0.1}, 10},
		{Inventory{Total: 5, Reserved: 5, AllocationRatio: 16}, 0},
	} {
		require.Equal(t, test.want, test.i.Capacity(), test.i)
	}
}

func two(t *testing.T) *Placement {
	p, err := New(Config{Providers: []Provider{
		{ID: "a", Name: "a", Inventories: map[string]Inventory{MemoryMB: {Total: 10, MaxUnit: 8, MinUnit: 2, StepSize: 2}}},
		{ID: "b", Name: "b", Inventories: map[string]Inventory{MemoryMB: {Total: 12}, VCPU: {Total: 1, AllocationRatio: 2}}},
	}})
	require.NoError(t, err)
	return p
}

func TestClaim(t *testing.T) {
	p := two(t)
	claim := func(consumer, only string, memory, vcpus int) string {
		resources := map[string]int{MemoryMB: memory}
		if vcpus > 0 {
			resources[VCPU] = vcpus
		}
		id, ok := p.Claim(consumer, "project", "user", resources, only)
		require.Equal(t, ok, id != "")
		return id
	}
	require.Equal(t, "b", claim("1", "", 4, 0), "most memory left")
	require.Equal(t, "b", claim("1", "", 4, 0), "what it has already")
	require.Equal(t, "a", claim("2", "", 4, 0))
	require.Equal(t, "b", claim("3", "", 1, 0), "below a's min_unit")
	require.Equal(t, "b", claim("4", "", 3, 0), "not of a's step_size")
	require.Equal(t, "", claim("5", "", 9, 0), "above a's max_unit, and b is full")
	require.Equal(t, "b", claim("6", "", 1, 2), "a has no VCPUs")
	require.Equal(t, "", claim("7", "", 1, 1), "no VCPU left")
	require.Equal(t, "", claim("8", "b", 4, 0), "only b would do, and has 3 left")
	require.Equal(t, "a", claim("8", "a", 4, 0))
	require.Equal(t, map[string]int{MemoryMB: 8}, p.Usage("a"))
	require.Equal(t, []string{"1", "2", "3", "4", "6", "8"}, p.Consumers())

	require.True(t, p.Release("2"))
	require.False(t, p.Release("2"))
	require.Equal(t, map[string]int{MemoryMB: 4}, p.Usage("a"))
	require.Nil(t, p.Usage("nobody"))
	require.Equal(t, "a", claim("9", "", 4, 0))
}

func TestNewRefuses(t *testing.T) {
	for name, i := range map[string]Inventory{
		"no total": {}, "more reserved than there is": {Total: 1, Reserved: 2}, "ratio": {Total: 1, AllocationRatio: -1},
		"step": {Total: 1, StepSize: -1},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(Config{Providers: []Provider{{ID: "a", Name: "a", Inventories: map[string]Inventory{VCPU: i}}}})
			require.ErrorContains(t, err, "resource provider a, VCPU")
		})
	}
}
