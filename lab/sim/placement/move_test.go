package placement

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCandidates(t *testing.T) {
	p := two(t)
	require.Equal(t, []string{"b", "a"}, p.Candidates(map[string]int{MemoryMB: 4}), "most memory first")
	require.Equal(t, []string{"b"}, p.Candidates(map[string]int{MemoryMB: 10}))
	require.Empty(t, p.Candidates(map[string]int{MemoryMB: 100}))
}

func TestHand(t *testing.T) {
	p := two(t)
	_, ok := p.Claim("server", "project", "user", map[string]int{MemoryMB: 4}, "a")
	require.True(t, ok)
	require.True(t, p.Hand("server", "migration"))
	require.False(t, p.Hand("server", "migration"), "it holds nothing any more")
	id, ok := p.Claim("server", "project", "user", map[string]int{MemoryMB: 4}, "b")
	require.True(t, ok)
	require.Equal(t, "b", id)
	require.False(t, p.Hand("server", "migration"), "nothing is lost")
	require.Equal(t, []string{"migration", "server"}, p.Consumers())
	require.Equal(t, 4, p.Usage("a")[MemoryMB])
	require.True(t, p.Release("migration"))
	require.Zero(t, p.Usage("a")[MemoryMB])
}
