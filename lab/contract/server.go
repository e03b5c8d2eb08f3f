package contract

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/stretchr/testify/require"
)

// boot is a request for a server; what it does not say is the suite's: flavor, image, no network, and one of the cloud's Hosts
// after the other, which only administrators may choose. nil leaves out what is said here.
type boot object

// ToServerCreateMap implements servers.CreateOptsBuilder.
func (b boot) ToServerCreateMap() (map[string]any, error) { return object{"server": object(b)}, nil }

func (s *suite) order(name string, more boot) boot {
	b := boot{"name": s.prefix + name, "flavorRef": s.flavor.ID, "imageRef": s.imageID, "networks": "none"}
	b["host"] = s.Hosts[int(s.made.Add(1))%len(s.Hosts)]
	for key, value := range more {
		if b[key] = value; value == nil {
			delete(b, key)
		}
	}
	return b
}

// create asks for a server, which is removed when the test ends, and returns its id at once.
func (s *suite) create(t *testing.T, who *session, name string, more boot) string {
	t.Helper()
	made, err := servers.Create(t.Context(), who.compute, s.order(name, more), nil).Extract()
	require.NoError(t, err)
	s.remove(t, who, made.ID)
	return made.ID
}

// remove deletes a server when the test ends, and waits until it is gone.
func (s *suite) remove(t *testing.T, who *session, id string) {
	t.Helper()
	cleanup(t, "server "+id, func(ctx context.Context) error {
		// One that is being changed refuses to be deleted.
		deadline := time.Now().Add(s.BuildTimeout)
		for pause := 5 * time.Millisecond; ; pause = min(2*pause, time.Second) {
			_, err := servers.Get(ctx, who.compute, id).Extract()
			if err != nil {
				return err
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("it is still there after %s", s.BuildTimeout)
			}
			if err := servers.Delete(ctx, who.compute, id).ExtractErr(); err != nil && !gophercloud.ResponseCodeIs(err, 409) {
				return err
			}
			time.Sleep(pause)
		}
	})
}

// server makes a server and waits until it is ACTIVE.
func (s *suite) server(t *testing.T, who *session, name string, more boot) *servers.Server {
	t.Helper()
	return s.settle(t, who, s.create(t, who, name, more), "ACTIVE")
}

// settle waits until nothing is being done to a server, which then has the status.
func (s *suite) settle(t *testing.T, who *session, id, status string) *servers.Server {
	t.Helper()
	var now *servers.Server
	await(t, s.BuildTimeout, "server "+id+" becomes "+status, func() bool {
		var err error
		now, err = servers.Get(t.Context(), who.compute, id).Extract()
		require.NoError(t, err)
		// Nova says ERROR a moment before it says why.
		return now.Status != "BUILD" && now.TaskState == "" && (now.Status != "ERROR" || now.Fault.Message != "")
	})
	require.Equal(t, status, now.Status, "%s", now.Fault.Message)
	return now
}

// watch follows a server until its last allowed state, and requires that what was seen are allowed states, in their order. A
// state is the status and the task; "gone" is an answer of 404.
func (s *suite) watch(t *testing.T, who *session, id string, allowed ...string) {
	t.Helper()
	var seen []string
	last := allowed[len(allowed)-1]
	deadline := time.Now().Add(s.BuildTimeout)
	for pause := 2 * time.Millisecond; ; pause = min(pause*3/2, 200*time.Millisecond) {
		state := "gone"
		now, err := servers.Get(t.Context(), who.compute, id).Extract()
		if err == nil {
			state = now.Status
			if now.TaskState != "" {
				state += " " + now.TaskState
			}
		} else {
			refused(t, err, 404)
		}
		if len(seen) == 0 || seen[len(seen)-1] != state {
			seen = append(seen, state)
		}
		if state == last {
			break
		}
		require.True(t, time.Now().Before(deadline), "server %s: %q not within %s; seen: %q", id, last, s.BuildTimeout, seen)
		time.Sleep(pause)
	}
	next := 0
	for _, state := range seen {
		for next < len(allowed) && allowed[next] != state {
			next++
		}
		require.Less(t, next, len(allowed), "%q is not in its place: seen %q, allowed %q", state, seen, allowed)
	}
}
