package placement

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

type everybodyIsAdmin struct{}

func (everybodyIsAdmin) Caller(string) *service.Caller {
	return &service.Caller{UserID: "u", ProjectID: "p", Roles: []string{"admin"}}
}

func TestAPI(t *testing.T) {
	p := two(t)
	p.config.Tokens = everybodyIsAdmin{}
	_, ok := p.Claim("server", "project", "user", map[string]int{MemoryMB: 4}, "a")
	require.True(t, ok)
	for _, test := range []struct {
		request, body string
		version       string
		status        int
		says          string
	}{
		{"GET /resource_providers?name=a", "", "1.39", 200, `"generation":2`},
		{"GET /resource_providers?resources=MEMORY_MB:8", "", "1.39", 200, `"name":"b"`},
		{"GET /resource_providers?resources=MEMORY_MB", "", "1.39", 400, `Badly formed resources parameter`},
		{"GET /resource_providers/a", "", "1.0", 200, `"rel":"usages"`},
		{"GET /resource_providers/a", "", "1.39", 200, `"root_provider_uuid":"a"`},
		{"GET /resource_providers/a/inventories/MEMORY_MB", "", "1.39", 200, `"total":10`},
		{"GET /resource_providers/a/inventories/VCPU", "", "1.39", 404, `No inventory of class VCPU for a`},
		{"GET /resource_providers/a/aggregates", "", "1.39", 200, `"aggregates":[]`},
		{"GET /resource_providers/a/traits", "", "1.39", 200, `"traits":[]`},
		{"GET /resource_providers/a/allocations", "", "1.39", 200, `"server":{"consumer_generation":1,"resources":{"MEMORY_MB":4}}`},
		{"GET /allocations/server", "", "1.39", 200, `"consumer_type":"unknown"`},
		{"GET /allocations/nobody", "", "1.39", 200, `{"allocations":{}}`},
		{"GET /usages?project_id=project", "", "1.39", 200, `{"usages":{"unknown":{"MEMORY_MB":4,"consumer_count":1}}}`},
		{"GET /usages?project_id=project", "", "1.9", 200, `{"usages":{"MEMORY_MB":4}}`},
		{"GET /usages?project_id=project&user_id=other", "", "1.9", 200, `{"usages":{}}`},
		{"GET /usages", "", "1.39", 400, `'project_id' is a required property`},
		{"PUT /resource_providers/a/inventories/MEMORY_MB", `{"total":20}`, "1.39", 400, `'resource_provider_generation' is a required`},
		{"PUT /resource_providers/a/inventories/MEMORY_MB", `{"total":20,"resource_provider_generation":1}`, "1.39", 409, `"code":"placement.concurrent_update"`},
		{"PUT /resource_providers/a/inventories/MEMORY_MB", `{"total":20,"resource_provider_generation":1}`, "1.22", 409, `resource provider generation conflict`},
		{"PUT /resource_providers/a/inventories/MEMORY_MB", `{"total":0,"resource_provider_generation":2}`, "1.39", 400, `0 is less than the minimum of 1`},
		{"PUT /resource_providers/a/inventories/MEMORY_MB", `{"total":1,"odd":1,"resource_provider_generation":2}`, "1.39", 400, `JSON does not validate`},
		{"PUT /resource_providers/a/inventories/MEMORY_MB", `{`, "1.39", 400, `Malformed JSON`},
		{"PUT /resource_providers/a/inventories/VCPU", `{"total":1,"resource_provider_generation":2}`, "1.39", 400, `No inventory record`},
		{"PUT /resource_providers/a/inventories/MEMORY_MB", `{"total":1,"resource_provider_generation":2}`, "1.39", 200, `"resource_provider_generation":3`},
		{"PUT /resource_providers/a/inventories", `{"inventories":{"VCPU":{"total":1}},"resource_provider_generation":3}`, "1.39", 409, `"code":"placement.inventory.inuse"`},
		{"PUT /resource_providers/a/inventories", `{"inventories":{"VCPU":{"total":1},"MEMORY_MB":{"total":9}},"resource_provider_generation":3}`, "1.39", 200, `"resource_provider_generation":4`},
		{"GET /resource_providers/a/usages", "", "1.39", 200, `"usages":{"MEMORY_MB":4,"VCPU":0}`},
		{"DELETE /allocations/server", "", "1.39", 204, ``},
		{"DELETE /allocations/server", "", "1.39", 404, `No allocations for consumer`},
		{"GET /resource_providers", "", "2.0", 406, `"max_version":"1.39"`},
		{"GET /resource_providers", "", "one", 400, `invalid version string`},
		{"GET /resource_providers", "", "latest", 200, ``},
	} {
		t.Run(test.request+" "+test.version, func(t *testing.T) {
			method, path, _ := strings.Cut(test.request, " ")
			r := httptest.NewRequest(method, path, strings.NewReader(test.body))
			r.Header.Set("OpenStack-API-Version", "placement "+test.version)
			w := httptest.NewRecorder()
			p.ServeHTTP(w, r)
			require.Equal(t, test.status, w.Code, w.Body)
			require.Contains(t, w.Body.String(), test.says)
		})
	}
}
