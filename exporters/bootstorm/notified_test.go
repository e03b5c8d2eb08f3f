package bootstorm

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/cloud/notification"
	"github.com/deskstorm/deskstorm/exporters/bootstorm/boots"
)

func TestSightings(t *testing.T) {
	now := time.Date(2026, 11, 26, 8, 0, 10, 0, time.UTC)
	created := now.Add(-10 * time.Second)
	const built = `{"instance_id":"s","host":"node7","created_at":"2026-11-26 08:00:00+00:00","state":"building"`
	const object = `{"nova_object.data":{"uuid":"s","host":"node7","created_at":"2026-11-26T08:00:00Z","state":"active"`
	for name, test := range map[string]struct {
		event, payload, priority string
		want                     []boots.Sighting
	}{
		"a build begins": {"compute.instance.create.start", built + `}`, "", []boots.Sighting{
			{Server: "s", Kind: boots.Create, What: boots.WasAccepted, At: created, Host: "node7"},
			{Server: "s", Kind: boots.Create, What: boots.HasBegun, At: now, Host: "node7"}}},
		"a build ends": {"compute.instance.create.end", built + `,"fixed_ips":[{"address":"10.0.0.5","vif_mac":"FA:16:3E:00:00:01"}]}`, "", []boots.Sighting{
			{Server: "s", Kind: boots.Create, What: boots.IsActive, At: now, Host: "node7", MACs: []string{"fa:16:3e:00:00:01"}, Address: "10.0.0.5"}}},
		"a build fails on a host": {"compute.instance.create.error", built + `,"message":"Binding failed for port 7"}`, "ERROR", []boots.Sighting{
			{Server: "s", Kind: boots.Create, What: boots.HasStumbled, At: now, Host: "node7", Fault: "network"}}},
		"no host is left": {"compute_task.build_instances", `{"instance_id":"s","reason":"No valid host was found."}`, "ERROR", []boots.Sighting{
			{Server: "s", What: boots.HasFailed, At: now, Fault: "no-valid-host"}}},
		"accepted": {"compute.instance.update", built + `,"new_task_state":"scheduling"}`, "", []boots.Sighting{
			{Server: "s", Kind: boots.Create, What: boots.WasAccepted, At: created}}},
		"started": {"compute.instance.update", `{"instance_id":"s","state":"stopped","new_task_state":"powering-on"}`, "", []boots.Sighting{
			{Server: "s", Kind: boots.Start, What: boots.WasAccepted, At: now}}},
		"still started": {"compute.instance.update", `{"instance_id":"s","state":"stopped","old_task_state":"powering-on","new_task_state":"powering-on"}`, "", nil},
		"in error":      {"compute.instance.update", `{"instance_id":"s","state":"error"}`, "", []boots.Sighting{{Server: "s", What: boots.HasFailed, At: now}}},
		"renamed":       {"compute.instance.update", `{"instance_id":"s","state":"active"}`, "", nil},
		"rebooted":      {"compute.instance.reboot.end", `{"instance_id":"s"}`, "", []boots.Sighting{{Server: "s", Kind: boots.Reboot, What: boots.IsActive, At: now}}},
		"deleted":       {"compute.instance.delete.start", `{"instance_id":"s"}`, "", []boots.Sighting{{Server: "s", What: boots.IsGone, At: now}}},
		"stopped":       {"compute.instance.power_off.end", `{"instance_id":"s"}`, "", nil},
		"an object": {"instance.create.end", object + `,"ip_addresses":[{"nova_object.data":{"mac":"fa:16:3e:00:00:01","address":"10.0.0.5"}}]}}`, "", []boots.Sighting{
			{Server: "s", Kind: boots.Create, What: boots.IsActive, At: now, Host: "node7", MACs: []string{"fa:16:3e:00:00:01"}, Address: "10.0.0.5"}}},
		"an object's error": {"instance.create.error", object + `,"fault":{"nova_object.data":{"exception_message":"Quota exceeded"}}}}`, "ERROR", []boots.Sighting{
			{Server: "s", Kind: boots.Create, What: boots.HasStumbled, At: now, Host: "node7", Fault: "quota"}}},
		"an object's update": {"instance.update", object + `,"state_update":{"nova_object.data":{"state":"stopped","new_task_state":"powering-on"}}}}`, "", []boots.Sighting{
			{Server: "s", Kind: boots.Start, What: boots.WasAccepted, At: now, Host: "node7"}}},
		"of another service":   {"port.create.end", `{}`, "", nil},
		"without a server":     {"compute.instance.create.end", `{}`, "", nil},
		"of another form":      {"compute.instance.create.end", `[1]`, "", nil},
		"an object of no form": {"instance.create.end", `{"nova_object.data":7}`, "", nil},
	} {
		got := sightings(notification.Notification{Event: test.event, Payload: json.RawMessage(test.payload), Priority: test.priority, Time: now})
		require.Equal(t, test.want, got, name)
	}
}

func FuzzSightings(f *testing.F) {
	f.Add("compute.instance.create.end", []byte(`{"instance_id":"s","fixed_ips":[{}],"message":{}}`))
	f.Add("instance.update", []byte(`{"nova_object.data":{"uuid":"s","state_update":null}}`))
	f.Fuzz(func(t *testing.T, event string, payload []byte) {
		for _, s := range sightings(notification.Notification{Event: event, Payload: payload}) {
			require.NotEmpty(t, s.Server)
		}
	})
}
