package sim_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim"
)

// TestComputeAPI walks through what gophercloud has no call for, or hides.
func TestComputeAPI(t *testing.T) {
	lab := startLab(t, sim.Config{
		Hosts: []sim.Host{{Name: "a"}, {Name: "b"}},
		Flavors: []sim.Flavor{
			{Name: "desktop.small", VCPUs: 1, RAM: 1024, Disk: 20, Specs: map[string]string{"hw:cpu_policy": "shared"}},
			{Name: "desktop.large", VCPUs: 4, RAM: 8192, Disk: 80},
		},
		Users: sim.StaticUsers{"ann": "secret"},
		Servers: []sim.ServerSeed{
			{Name: "one", ID: "7f8ee5b1-3f0c-4c39-9a3e-0d3a7c1f2b01"}, {Name: "two", ID: "7f8ee5b1-3f0c-4c39-9a3e-0d3a7c1f2b02", Status: "SHUTOFF"},
			{Name: "three", ID: "7f8ee5b1-3f0c-4c39-9a3e-0d3a7c1f2b03", Status: "BUILD"},
		},
	})
	require.Eventually(t, func() bool { return lab.Servers()[2].Status == "ACTIVE" }, patience, time.Millisecond)
	require.NotNil(t, lab.Servers()[2].Console)
	require.Nil(t, lab.Servers()[0].Console, "made when it is asked for")
	const (
		one = "/servers/7f8ee5b1-3f0c-4c39-9a3e-0d3a7c1f2b01"
		two = "/servers/7f8ee5b1-3f0c-4c39-9a3e-0d3a7c1f2b02"
	)
	admin := adminToken(t, lab)
	ann := login(t, lab, passwordBody("ann", "users", "secret", desktopsScope))
	hostA := lab.Servers()[0]
	hypervisors := do(t, "GET", base(lab)+"/compute/v2.1/os-hypervisors?hypervisor_hostname_pattern=a", admin, "", "OpenStack-API-Version: compute 2.93")
	hostID := hypervisors.field(t, "hypervisors").([]any)[0].(map[string]any)["id"].(string)
	small, large, image := lab.FlavorID("desktop.small"), lab.FlavorID("desktop.large"), lab.ImageID("desktop")
	newServer := func(more string) string {
		return fmt.Sprintf(`{"server":{"name":"new","flavorRef":%q,"imageRef":%q,"networks":"none"%s}}`, small, image, more)
	}
	require.NotEmpty(t, hostA.Host)
	for _, test := range []struct {
		token, request, body, version string
		status                        int
		says, saysNot                 string
	}{
		{ann, "GET /flavors", "", "2.1", 200, `"name":"desktop.large"`, `"ram"`},
		{ann, "GET /flavors?limit=1&sort_key=memory_mb", "", "2.1", 200, `"flavors_links"`, `desktop.large`},
		{ann, "GET /flavors?sort_key=name&sort_dir=desc&marker=" + small, "", "2.1", 200, `desktop.large`, `desktop.small`},
		{ann, "GET /flavors?marker=x", "", "2.1", 400, `marker [x] not found`, ``},
		{ann, "GET /flavors/" + small, "", "2.61", 200, `"extra_specs":{"hw:cpu_policy":"shared"}`, ``},
		{ann, "GET /flavors/" + large, "", "2.1", 200, `"swap":""`, `extra_specs`},
		{ann, "GET /flavors/" + small + "/os-extra_specs", "", "2.1", 200, `"hw:cpu_policy"`, ``},
		{ann, "GET " + one + "/ips", "", "2.1", 200, `{"addresses":{"desktops":[{"version":4,"addr":"10.20.0.2"}]}}`, ``},
		{ann, "GET " + one + "/metadata/x", "", "2.1", 404, `Metadata item was not found`, ``},
		{ann, "DELETE " + one + "/metadata/x", "", "2.1", 404, `Metadata item was not found`, ``},
		{ann, "PUT " + one + "/metadata/x", `{"meta":{"y":"1"}}`, "2.1", 400, `Request body and URI mismatch`, ``},
		{ann, "PUT " + one + "/metadata", `{}`, "2.1", 400, `'metadata' is a required property`, ``},
		{ann, "PUT " + one + "/tags", `{}`, "2.26", 400, `'tags' is a required property`, ``},
		{ann, "DELETE " + one + "/tags/x", "", "2.26", 404, `has no tag 'x'`, ``},
		{ann, "PUT " + one, `{"server":{"description":"d"}}`, "2.19", 200, `"description":"d"`, ``},
		{ann, "PUT " + one, `{"server":{"name":" "}}`, "2.19", 400, `badRequest`, ``},
		{ann, "PUT " + one, `{}`, "2.19", 400, `'server' is a required property`, ``},
		{ann, "POST " + one + "/action", `{"os-resetState":{"state":"error"}}`, "2.1", 403, `reset_state`, ``},
		{admin, "POST " + one + "/action", `{"os-resetState":{"state":"odd"}}`, "2.1", 400, `badRequest`, ``},
		{admin, "POST " + one + "/action", `{"os-resetState":{"state":"error"}}`, "2.1", 202, ``, ``},
		{ann, "GET " + one, "", "2.1", 200, `"status":"ERROR"`, `"progress"`},
		{ann, "PUT " + one + "/tags/x", "", "2.26", 409, `while it is in vm_state error`, ``},
		{admin, "POST " + one + "/action", `{"os-resetState":{"state":"active"}}`, "2.1", 202, ``, ``},
		{ann, "POST " + one + "/action", `{"os-getSPICEConsole":{"type":"spice-html5"}}`, "2.1", 200, `"type":"spice-html5","url":"http://127.0.0.1:6082/spice_auto.html?token=`, ``},
		{ann, "POST " + one + "/action", `{"os-getSPICEConsole":{"type":"rdp"}}`, "2.1", 400, `badRequest`, ``},
		{ann, "POST " + two + "/action", `{"os-getSPICEConsole":{"type":"spice-html5"}}`, "2.1", 409, `is not ready`, ``},
		{ann, "POST " + one + "/remote-consoles", `{}`, "2.6", 400, `'remote_console' is a required property`, ``},
		{ann, "POST " + one + "/remote-consoles", `{"remote_console":{"protocol":"vnc","type":"spice-html5"}}`, "2.6", 400, `badRequest`, ``},
		{ann, "POST " + one + "/action", `{"reboot":{"type":"odd"}}`, "2.1", 400, `badRequest`, ``},
		{ann, "POST " + two + "/action", `{"reboot":{"type":"SOFT"}}`, "2.1", 409, `Cannot 'reboot' instance`, ``},
		{ann, "POST " + one + "/action", `{"rebuild":{"imageRef":"x"}}`, "2.1", 400, `'x' is not a 'uuid'`, ``},
		{ann, "POST " + one + "/action", `{"rebuild":{"imageRef":"7f8ee5b1-3f0c-4c39-9a3e-0d3a7c1f2b09"}}`, "2.1", 400, `Cannot find image for rebuild`, ``},
		{ann, "POST " + one + "/action", `{"rebuild":{}}`, "2.1", 400, `badRequest`, ``},
		{ann, "GET " + one + "/os-instance-actions/x", "", "2.1", 404, `Action x not found`, ``},
		{admin, "GET /os-hypervisors/" + hostID + "?with_servers=true", "", "2.53", 200, `"memory_mb":524288`, ``},
		{admin, "GET /os-hypervisors/" + hostID, "", "2.88", 200, `"uptime":" `, `"memory_mb"`},
		{admin, "GET /os-hypervisors/1", "", "2.1", 200, `"id":1`, ``},
		{admin, "GET /os-hypervisors/x", "", "2.53", 400, `Invalid uuid x`, ``},
		{admin, "GET /os-hypervisors/9", "", "2.1", 404, `could not be found`, ``},
		{admin, "GET /os-hypervisors?hypervisor_hostname_pattern=z", "", "2.53", 404, `No hypervisor matching`, ``},
		{ann, "GET /os-services", "", "2.1", 403, `os-services:list`, ``},
		{admin, "GET /os-services?host=a", "", "2.11", 200, `"forced_down":false`, `nova-conductor`},
		{ann, "GET /limits?tenant_id=x", "", "2.1", 403, `limits:other_project`, ``},
		{admin, "GET /limits?tenant_id=x", "", "2.1", 200, `"totalInstancesUsed":0`, ``},
		{admin, "GET /servers?host=nowhere", "", "2.1", 200, `{"servers":[]}`, ``},
		{admin, "GET /servers?uuid=7f8ee5b1-3f0c-4c39-9a3e-0d3a7c1f2b02", "", "2.1", 200, `"two"`, `"one"`},
		{ann, "GET /servers?ip=" + url.QueryEscape(`^10\.20\.0\.2$`), "", "2.1", 200, `"one"`, `"two"`},
		{ann, "GET /servers?vm_state=stopped", "", "2.82", 200, `"one"`, ``}, // ignored
		{ann, "GET /servers?vm_state=stopped", "", "2.83", 200, `"two"`, `"one"`},
		{ann, "GET /servers?status=odd", "", "2.1", 200, `{"servers":[]}`, ``},
		{ann, "GET /servers?status=DELETED", "", "2.1", 403, `Only administrators may list deleted instances`, ``},
		{ann, "GET /servers?limit=0", "", "2.1", 200, `{"servers":[]}`, `servers_links`},
		{ann, "GET /servers?changes-since=yesterday", "", "2.1", 400, `is not a 'date-time'`, ``},
		{ann, "GET /servers?changes-before=2020-01-01T00:00:00Z", "", "2.66", 200, `{"servers":[]}`, ``},
		{ann, "GET /servers?sort_key=uuid&sort_dir=asc&limit=1", "", "2.1", 200, `"one"`, `"two"`},
		{ann, "GET /servers?sort_key=uuid&sort_dir=asc&marker=7f8ee5b1-3f0c-4c39-9a3e-0d3a7c1f2b01&limit=1", "", "2.1", 200, `"two"`, `"one"`},
		{admin, "POST /servers", newServer(`,"host":"nowhere"`), "2.93", 400, `Compute host nowhere could not be found.`, ``},
		{admin, "POST /servers", newServer(`,"host":"b"`), "2.93", 202, `"adminPass"`, ``},
		{admin, "POST /servers", newServer(`,"availability_zone":"nova:b"`), "2.93", 202, `"security_groups":[{"name":"default"}]`, ``},
		{admin, "POST /servers", newServer(`,"availability_zone":"mars"`), "2.93", 400, `availability zone is not available`, ``},
		{admin, "POST /servers", newServer(`,"block_device_mapping_v2":[{}]`), "2.93", 400, `Block Device Mapping is Invalid`, ``},
		{admin, "POST /servers", newServer(`,"min_count":0`), "2.93", 400, `min_count`, ``},
		{admin, "POST /servers", newServer(`,"min_count":1000000000`), "2.93", 403, `Quota exceeded for instances`, ``},
		{admin, "POST /servers", strings.Replace(newServer(""), `"none"`, `"some"`, 1), "2.93", 400, `networks`, ``},
		{admin, "POST /servers", strings.Replace(newServer(""), `"none"`, `[{"port":"x"}]`, 1), "2.93", 400, `is not valid under any of the given schemas`, ``},
		{admin, "POST /servers", strings.Replace(newServer(""), `"none"`, `[{"port":"`+image+`"}]`, 1), "2.93", 400, `Port `, ``},
		{admin, "POST /servers", `{}`, "2.93", 400, `'server' is a required property`, ``},
		{admin, "POST /servers", `{"server":{"flavorRef":"x"}}`, "2.93", 400, `'name' is a required property`, ``},
		{admin, "POST /servers", `{"server":{"name":1,"flavorRef":"x"}}`, "2.93", 400, `field/attribute name`, ``},
	} {
		name := strings.ReplaceAll(test.request, "7f8ee5b1-3f0c-4c39-9a3e-", "")
		t.Run(name+" "+test.version, func(t *testing.T) {
			method, path, _ := strings.Cut(test.request, " ")
			a := do(t, method, base(lab)+"/compute/v2.1"+path, test.token, test.body, "OpenStack-API-Version: compute "+test.version)
			require.Equal(t, test.status, a.status, a.body)
			require.Contains(t, a.body, test.says)
			if test.saysNot != "" {
				require.NotContains(t, a.body, test.saysNot)
			}
		})
	}
	for _, s := range lab.Servers()[3:] {
		require.Eventually(t, func() bool { now, _ := lab.Server(s.ID); return now.Host == "b" }, patience, time.Millisecond, "as was asked for")
	}
	require.Len(t, lab.Servers(), 5)
}

// TestTwoNetworks: which one is meant has to be said.
func TestTwoNetworks(t *testing.T) {
	lab := startLab(t, sim.Config{})
	token := adminToken(t, lab)
	a := do(t, "POST", base(lab)+"/network/v2.0/networks", token, `{"network":{"name":"second"}}`)
	require.Equal(t, 201, a.status)
	second := a.field(t, "network", "id").(string)
	require.Equal(t, 201, do(t, "POST", base(lab)+"/network/v2.0/subnets", token,
		`{"subnet":{"network_id":"`+second+`","cidr":"10.9.0.0/24"}}`).status)
	body := func(networks string) string {
		return fmt.Sprintf(`{"server":{"name":"x","flavorRef":%q,"imageRef":%q,"networks":%s}}`,
			lab.FlavorID("desktop.small"), lab.ImageID("desktop"), networks)
	}
	const version = "OpenStack-API-Version: compute 2.93"
	a = do(t, "POST", base(lab)+"/compute/v2.1/servers", token, body(`"auto"`), version)
	require.Equal(t, 409, a.status, a.body)
	a = do(t, "POST", base(lab)+"/compute/v2.1/servers", token,
		body(`[{"uuid":"`+second+`"},{"uuid":"`+lab.NetworkID("desktops")+`"}]`), version)
	require.Equal(t, 202, a.status, a.body)
	require.Eventually(t, func() bool { return lab.Servers()[0].Status == "ACTIVE" }, patience, time.Millisecond)
	require.Equal(t, []string{"10.9.0.2", "10.20.0.2"}, lab.Servers()[0].Addresses)
}
