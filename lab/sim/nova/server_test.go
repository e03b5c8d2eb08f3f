package nova

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestStatus(t *testing.T) {
	for _, test := range []struct{ state, task, want string }{
		{building, scheduling, "BUILD"}, {building, deletingTask, "BUILD"}, {active, "", "ACTIVE"}, {active, poweringOff, "ACTIVE"},
		{active, deletingTask, "ACTIVE"}, {active, rebooting, "REBOOT"}, {active, hardReboot, "HARD_REBOOT"}, {stopped, "", "SHUTOFF"},
		{stopped, hardReboot, "SHUTOFF"}, {stopped, rebuilding, "REBUILD"}, {failed, "", "ERROR"}, {failed, rebuilding, "REBUILD"},
		{active, hardRebootStarted, "HARD_REBOOT"}, {active, rebuildingSpawning, "REBUILD"}, {active, migrating, "MIGRATING"},
		{paused, migrating, "MIGRATING"}, {paused, "", "PAUSED"}, {suspended, resuming, "SUSPENDED"}, {deleted, "", "DELETED"},
	} {
		s := &server{state: test.state, task: test.task}
		require.Equal(t, test.want, s.status(), test)
		require.Contains(t, statuses, s.status())
	}
}

func TestNothingStopsADeletion(t *testing.T) {
	n := &Nova{config: Config{Now: time.Now}}
	s := &server{state: active, task: deletingTask}
	n.enter(s, active, "")
	n.enter(s, building, spawning)
	require.Equal(t, deletingTask, s.task)
	require.Equal(t, active, s.state)
}

func TestServersAreKeptInOrder(t *testing.T) {
	n := &Nova{
		servers: map[string]*server{}, projects: map[string]*project{}, graves: graves{byID: map[string]*server{}}, config: Config{Now: time.Now},
	}
	var all []*server
	for _, id := range []string{"a", "b", "c", "d"} {
		s := &server{id: id, project: "p", flavor: &Flavor{VCPUs: 2, RAM: 8}}
		n.add(s)
		all = append(all, s)
	}
	n.remove(all[1])
	n.remove(all[1]) // a second time changes nothing
	require.Equal(t, []*server{all[0], all[2], all[3]}, n.order)
	require.Equal(t, n.order, n.projects["p"].servers)
	require.Equal(t, Quota{Instances: 3, Cores: 6, RAM: 24}, n.projects["p"].used)
}

func TestActionsAreLimited(t *testing.T) {
	n := &Nova{config: Config{Now: time.Now}}
	s := &server{}
	for i := range 3 * maxActions {
		n.recordNamed(s, "start", i)
	}
	require.Len(t, s.actions, maxActions)
	require.Equal(t, "0", s.actions[0].requestID, "its creation stays")
	require.Equal(t, "95", s.actions[maxActions-1].requestID)
}

func TestHostname(t *testing.T) {
	for name, want := range map[string]string{
		"Desktop 1": "desktop-1", "a_b.c": "a-b-c", "Ärger": "ärger", "桌面7": "7", "-.-": "other", "": "other",
	} {
		require.Equal(t, want, hostname(name, "other"))
	}
}

func TestTruth(t *testing.T) {
	for _, s := range []string{"1", "true", "Yes", " on ", "t", "y"} {
		require.True(t, isTrue(s), s)
		require.False(t, isFalse(s), s)
	}
	for _, s := range []string{"0", "False", " no ", "off", "n", "f"} {
		require.True(t, isFalse(s), s)
		require.False(t, isTrue(s), s)
	}
	for _, s := range []string{"", "anything"} {
		require.False(t, isFalse(s) || isTrue(s), s)
	}
}

func TestDeletedServersAreForgotten(t *testing.T) {
	now := time.Unix(0, 0)
	g := graves{byID: map[string]*server{}}
	for i := range 3 {
		g.add(&server{id: hex8(i), terminated: now}, now)
	}
	now = now.Add(graveTime + 1)
	g.add(&server{id: "last", terminated: now}, now)
	require.Len(t, g.order, 1)
	require.Len(t, g.byID, 1)
	for i := range maxGraves {
		g.add(&server{id: hex8(i), terminated: now}, now)
	}
	require.Len(t, g.order, maxGraves)
	require.Nil(t, g.byID["last"])
}

func TestConsoleTokensAreForgotten(t *testing.T) {
	now := time.Unix(0, 0)
	tokens := consoleTokens{byToken: map[string]consoleToken{}}
	for i := range 100 {
		tokens.add(hex8(i), consoleToken{expires: now.Add(consoleTTL)}, now)
		now = now.Add(consoleTTL / 10)
	}
	require.Len(t, tokens.byToken, 10)
	require.Len(t, tokens.issued, 10)
	require.True(t, slices.Contains(tokens.issued, hex8(99)))
}
