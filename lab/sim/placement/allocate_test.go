package placement

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What the tests below hold the answers to was seen at a real Placement of Zed.
const (
	hostA    = "aaaaaaaa-0000-0000-0000-000000000000"
	hostB    = "bbbbbbbb-0000-0000-0000-000000000000"
	server   = "11111111-0000-0000-0000-000000000000"
	moving   = "22222222-0000-0000-0000-000000000000"
	groupOne = "33333333-0000-0000-0000-000000000000"
	groupTwo = "44444444-0000-0000-0000-000000000000"
)

type step struct {
	request, body, version string
	status                 int
	says                   string
}

// walk makes the requests one after another.
func walk(t *testing.T, p *Placement, steps []step) {
	t.Helper()
	names := strings.NewReplacer("HOSTA", hostA, "HOSTB", hostB, "SERVER", server, "MOVING", moving, "GROUP1", groupOne, "GROUP2", groupTwo)
	for i, s := range steps {
		if s.version == "" {
			s.version = "1.39"
		}
		method, path, _ := strings.Cut(names.Replace(s.request), " ")
		r := httptest.NewRequest(method, path, strings.NewReader(names.Replace(s.body)))
		r.Header.Set("OpenStack-API-Version", "placement "+s.version)
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		step := fmt.Sprintf("step %d, %s %s at %s: %s", i, s.request, s.body, s.version, w.Body)
		require.Equal(t, s.status, w.Code, step)
		require.Contains(t, w.Body.String(), names.Replace(s.says), step)
	}
}

func hosts(t *testing.T) *Placement {
	t.Helper()
	p, err := New(Config{Tokens: everybodyIsAdmin{}, Providers: []Provider{
		{ID: hostA, Name: "a", Inventories: map[string]Inventory{MemoryMB: {Total: 100, Reserved: 10}, VCPU: {Total: 4}}},
		{ID: hostB, Name: "b", Inventories: map[string]Inventory{MemoryMB: {Total: 100, AllocationRatio: 1.5}, VCPU: {Total: 4, AllocationRatio: 16}}},
	}})
	require.NoError(t, err)
	return p
}

func TestAllocations(t *testing.T) {
	of := func(allocations, generation string) string {
		return `{"allocations":{` + allocations + `},"project_id":"p","user_id":"u","consumer_generation":` + generation + `,"consumer_type":"INSTANCE"}`
	}
	const half = `"HOSTA":{"resources":{"VCPU":2,"MEMORY_MB":50}}`
	p := hosts(t)
	walk(t, p, []step{
		{"PUT /allocations/SERVER", of(half, "null"), "", 204, ``},
		{"PUT /allocations/SERVER", of(half, "null"), "", 409, `consumer generation conflict - expected 1 but got None`},
		{"PUT /allocations/SERVER", of(half, "7"), "", 409, `"code":"placement.concurrent_update"`},
		{"PUT /allocations/MOVING", of(half, "1"), "", 409, `consumer generation conflict - expected null but got 1`},
		{"GET /resource_providers/HOSTA", "", "", 200, `"generation":2`},
		{"PUT /allocations/SERVER", of(`"HOSTA":{"resources":{"VCPU":5}}`, "1"), "", 409, `Unable to allocate inventory: Unable to create allocation for 'VCPU' on resource provider 'HOSTA'. The requested amount would exceed the capacity.`},
		{"PUT /allocations/SERVER", of(`"HOSTA":{"resources":{"MEMORY_MB":91}}`, "1"), "", 409, `There was a conflict when trying to complete your request.\n\n Unable to allocate`},
		{"PUT /allocations/SERVER", of(`"HOSTA":{"resources":{"DISK_GB":1}}`, "1"), "", 409, `Inventory for 'DISK_GB' on resource provider 'HOSTA' invalid.`},
		{"PUT /allocations/SERVER", of(`"HOSTA":{"resources":{"CUSTOM_X":1}}`, "1"), "", 400, `No such resource class CUSTOM_X.`},
		{"PUT /allocations/SERVER", of(`"SERVER":{"resources":{"VCPU":1}}`, "1"), "", 400, `Allocation for resource provider 'SERVER' that does not exist.`},
		{"PUT /allocations/SERVER", of(`"HOSTA":{"resources":{"VCPU":0}}`, "1"), "", 400, `0 is less than the minimum of 1`},
		{"PUT /allocations/SERVER", of(`"HOSTA":{"resources":{}}`, "1"), "", 400, `JSON does not validate`},
		{"PUT /allocations/SERVER", `{"allocations":[]}`, "", 400, `JSON does not validate: 'project_id' is a required property`},
		{"PUT /allocations/none", of(half, "null"), "", 400, `Malformed consumer_uuid: none`},
		{"GET /allocations/SERVER", "", "", 200, `{"allocations":{"HOSTA":{"generation":2,"resources":{"MEMORY_MB":50,"VCPU":2}}},"consumer_generation":1,"consumer_type":"INSTANCE","project_id":"p","user_id":"u"}`},
		{"GET /allocations/SERVER", "", "1.0", 200, `{"allocations":{"HOSTA":{"generation":2,"resources":{"MEMORY_MB":50,"VCPU":2}}}}`},
		{"DELETE /resource_providers/HOSTA", "", "", 409, `"code":"placement.resource_provider.inuse"`},
		{"DELETE /resource_providers/HOSTA/inventories", "", "", 409, `Inventory for 'MEMORY_MB, VCPU' on resource provider 'HOSTA' in use.`},
		{"DELETE /resource_providers/HOSTA/inventories", "", "1.4", 405, `The method DELETE is not allowed`},
		{"DELETE /resource_providers/HOSTA/inventories/VCPU", "", "", 409, `Unable to delete inventory of class VCPU: Inventory for 'VCPU'`},
		// What is in use stays when the capacity falls below it; nobody gets more, and not even the same again.
		{"PUT /resource_providers/HOSTA/inventories/MEMORY_MB", `{"resource_provider_generation":2,"total":20}`, "", 200, `"total":20`},
		{"GET /resource_providers/HOSTA/usages", "", "", 200, `"MEMORY_MB":50`},
		{"PUT /allocations/SERVER", of(half, "1"), "", 409, `would exceed the capacity`},
		// Two providers, and the move of a consumer's share to another consumer in one request.
		{"PUT /allocations/SERVER", of(`"HOSTA":{"resources":{"VCPU":4}},"HOSTB":{"resources":{"MEMORY_MB":150}}`, "1"), "", 204, ``},
		{"POST /allocations", `{"MOVING":` + of(`"HOSTA":{"resources":{"VCPU":4}}`, "null") + `,"SERVER":` + of(`"HOSTB":{"resources":{"MEMORY_MB":151}}`, "2") + `}`, "", 409, `would exceed`},
		{"GET /allocations/MOVING", "", "", 200, `{"allocations":{}}`},
		{"POST /allocations", `{"MOVING":` + of(`"HOSTA":{"resources":{"VCPU":4}}`, "null") + `,"SERVER":` + of(`"HOSTB":{"resources":{"MEMORY_MB":150}}`, "2") + `}`, "", 204, ``},
		{"GET /resource_providers/HOSTA/allocations", "", "", 200, `"allocations":{"MOVING":{"consumer_generation":1,"resources":{"VCPU":4}}}`},
		{"GET /usages?project_id=p", "", "", 200, `{"usages":{"INSTANCE":{"MEMORY_MB":150,"VCPU":4,"consumer_count":2}}}`},
		{"PUT /allocations/SERVER", of("", "3"), "", 204, ``},
		{"DELETE /allocations/SERVER", "", "", 404, `No allocations for consumer 'SERVER'`},
		{"POST /allocations", `{}`, "", 400, `does not have enough properties`},
		{"POST /allocations", `{"MOVING":` + of("", "1") + `}`, "1.12", 404, ``},
		{"DELETE /allocations/MOVING", "", "", 204, ``},
		// Earlier forms.
		{"PUT /allocations/SERVER", `{"allocations":[{"resource_provider":{"uuid":"HOSTB"},"resources":{"VCPU":1}}]}`, "1.0", 204, ``},
		{"GET /allocations/SERVER", "", "", 200, `"consumer_type":"unknown"`},
		{"PUT /allocations/SERVER", `{"allocations":[{"resource_provider":{"uuid":"HOSTB"},"resources":{"VCPU":2}}],"project_id":"q","user_id":"u"}`, "1.8", 204, ``},
		{"PUT /allocations/SERVER", `{"allocations":[],"project_id":"q","user_id":"u"}`, "1.8", 400, `does not have enough properties`},
		{"PUT /allocations/SERVER", `{"allocations":{"HOSTB":{"resources":{"VCPU":3}}},"project_id":"q","user_id":"u"}`, "1.12", 204, ``},
		{"PUT /allocations/SERVER", `{"allocations":{"HOSTB":{"resources":{"VCPU":3}}},"project_id":"q","user_id":"u","consumer_generation":3}`, "1.12", 400, `Additional properties are not allowed ('consumer_generation' was unexpected)`},
		{"PUT /allocations/SERVER", `{"allocations":{"HOSTB":{"resources":{"VCPU":3}}},"project_id":"q","user_id":"u","consumer_generation":3}`, "1.28", 204, ``},
		{"GET /usages?project_id=q", "", "1.37", 200, `{"usages":{"VCPU":3}}`},
		{"GET /usages?project_id=q&consumer_type=INSTANCE", "", "", 200, `{"usages":{}}`},
		{"GET /usages?project_id=q&consumer_type=all", "", "", 200, `{"usages":{"all":{"VCPU":3,"consumer_count":1}}}`},
	})
	require.Equal(t, []string{server}, p.Consumers())
	require.Equal(t, map[string]int{VCPU: 0, MemoryMB: 0}, p.Usage(hostA))
}

func TestProviders(t *testing.T) {
	walk(t, hosts(t), []step{
		{"POST /resource_providers", `{"name":"new"}`, "1.19", 201, ``},
		{"POST /resource_providers", `{"name":"new"}`, "", 409, `Conflicting resource provider name: new already exists.`},
		{"POST /resource_providers", `{"name":"other","uuid":"HOSTA"}`, "", 409, `"code":"placement.duplicate_name"`},
		{"POST /resource_providers", `{"nam":"new"}`, "", 400, `JSON does not validate: 'name' is a required property`},
		{"POST /resource_providers", `{"name":"new","uuid":"x"}`, "", 400, `'x' is not a 'uuid'`},
		{"POST /resource_providers", `{"name":1}`, "", 400, `JSON does not validate`},
		{"POST /resource_providers", `{"name":"server","uuid":"SERVER"}`, "", 200, `"generation":0`},
		{"PUT /resource_providers/SERVER", `{"name":"renamed"}`, "", 200, `"name":"renamed"`},
		{"PUT /resource_providers/SERVER", `{"name":"a"}`, "", 409, `Conflicting resource provider a already exists.`},
		{"POST /resource_providers/SERVER/inventories", `{"resource_class":"VCPU","total":4}`, "", 201, `"resource_provider_generation":1`},
		{"POST /resource_providers/SERVER/inventories", `{"resource_class":"VCPU","total":4}`, "", 409, `"code":"placement.concurrent_update"`},
		{"POST /resource_providers/SERVER/inventories", `{"total":4}`, "", 400, `'resource_class' is a required property`},
		{"POST /resource_providers/SERVER/inventories", `{"resource_class":"CUSTOM_X","total":4}`, "", 400, `No such resource class CUSTOM_X.`},
		{"POST /resource_providers/SERVER/inventories", `{"resource_class":"DISK_GB","total":4,"reserved":5}`, "", 400, `The reserved value is greater than total.`},
		{"POST /resource_providers/SERVER/inventories", `{"resource_class":"DISK_GB","total":4,"reserved":4}`, "1.25", 400, `The reserved value is greater than or equal to total.`},
		{"PUT /resource_providers/SERVER/inventories", `{"resource_provider_generation":1,"inventories":{"CUSTOM_X":{"total":4}}}`, "", 400, `Unknown resource class in inventory for resource provider SERVER: No such resource class CUSTOM_X.`},
		{"PUT /resource_providers/SERVER/inventories", `{"resource_provider_generation":0,"inventories":{}}`, "", 409, `resource provider generation conflict`},
		{"PUT /resource_providers/SERVER/inventories", `{"inventories":{}}`, "", 400, `'resource_provider_generation' is a required property`},
		{"DELETE /resource_providers/SERVER/inventories/DISK_GB", "", "", 404, `No inventory of class DISK_GB found for delete`},
		{"DELETE /resource_providers/SERVER/inventories/VCPU", "", "", 204, ``},
		{"DELETE /resource_providers/SERVER/inventories", "", "", 204, ``},
		{"DELETE /resource_providers/SERVER", "", "", 204, ``},
		{"DELETE /resource_providers/SERVER", "", "", 404, `found for delete`},
		{"DELETE /resource_providers", "", "", 405, `The method DELETE is not allowed for this resource.`},

		{"GET /traits", "", "1.5", 404, ``},
		{"PUT /traits/CUSTOM_SSD", "", "", 201, ``},
		{"PUT /traits/CUSTOM_SSD", "", "", 204, ``},
		{"PUT /traits/SSD", "", "", 400, `The trait is invalid.`},
		{"GET /traits?name=startswith:CUSTOM_", "", "", 200, `{"traits":["CUSTOM_SSD"]}`},
		{"GET /traits?name=in:CUSTOM_SSD,HW_CPU_X86_AVX", "", "", 200, `{"traits":["CUSTOM_SSD","HW_CPU_X86_AVX"]}`},
		{"GET /traits?name=CUSTOM_SSD", "", "", 400, `Badly formatted name parameter.`},
		{"GET /traits?associated=maybe", "", "", 400, `only accepts`},
		{"GET /traits/CUSTOM_NO", "", "", 404, `No such trait(s): CUSTOM_NO.`},
		{"DELETE /traits/HW_CPU_X86_AVX", "", "", 400, `Cannot delete standard trait HW_CPU_X86_AVX.`},
		{"PUT /resource_providers/HOSTA/traits", `{"resource_provider_generation":0,"traits":["CUSTOM_SSD"]}`, "", 409, `already changed. Please update the generation and try again.`},
		{"PUT /resource_providers/HOSTA/traits", `{"resource_provider_generation":1,"traits":["CUSTOM_NO"]}`, "", 400, `No such trait CUSTOM_NO`},
		{"PUT /resource_providers/HOSTA/traits", `{"resource_provider_generation":1,"traits":["CUSTOM_SSD"]}`, "", 200, `"resource_provider_generation":2`},
		{"GET /traits?associated=true", "", "", 200, `{"traits":["CUSTOM_SSD"]}`},
		{"DELETE /traits/CUSTOM_SSD", "", "", 409, `The trait CUSTOM_SSD is in use by a resource provider.`},

		{"PUT /resource_providers/HOSTA/aggregates", `["GROUP1"]`, "1.18", 200, `{"aggregates":["GROUP1"]}`},
		{"PUT /resource_providers/HOSTA/aggregates", `{"aggregates":["GROUP1"],"resource_provider_generation":1}`, "", 409, `already changed`},
		{"PUT /resource_providers/HOSTA/aggregates", `{"aggregates":["x"],"resource_provider_generation":2}`, "", 400, `'x' is not a 'uuid'`},
		{"PUT /resource_providers/HOSTA/aggregates", `{"aggregates":["GROUP2","GROUP1"],"resource_provider_generation":2}`, "", 200, `"resource_provider_generation":3`},

		{"POST /resource_classes", `{"name":"CUSTOM_X"}`, "", 201, ``},
		{"POST /resource_classes", `{"name":"CUSTOM_X"}`, "", 409, `Conflicting resource class already exists: CUSTOM_X`},
		{"PUT /resource_classes/CUSTOM_X", "", "", 204, ``},
		{"PUT /resource_classes/X", "", "", 400, `does not match`},
		{"GET /resource_classes", "", "", 200, `{"resource_classes":[{"links"`},
		{"GET /resource_classes/CUSTOM_X", "", "", 200, `"name":"CUSTOM_X"`},
		{"PUT /resource_providers/HOSTA/inventories", `{"resource_provider_generation":3,"inventories":{"CUSTOM_X":{"total":4}}}`, "", 200, `"CUSTOM_X"`},
		{"DELETE /resource_classes/CUSTOM_X", "", "", 409, `Class is in use in inventory.`},
		{"DELETE /resource_classes/VCPU", "", "", 400, `Cannot delete standard resource class VCPU.`},
		{"DELETE /resource_classes/CUSTOM_Y", "", "", 404, `No such resource class CUSTOM_Y.`},
	})
}

func TestAllocationCandidates(t *testing.T) {
	p := hosts(t)
	walk(t, p, []step{
		{"PUT /resource_providers/HOSTA/traits", `{"resource_provider_generation":1,"traits":["HW_CPU_X86_AVX"]}`, "", 200, ``},
		{"PUT /resource_providers/HOSTB/aggregates", `{"aggregates":["GROUP1"],"resource_provider_generation":1}`, "", 200, ``},
		{"GET /allocation_candidates?resources=VCPU:1,MEMORY_MB:10&limit=1", "", "", 200, `{"allocation_requests":[{"allocations":{"HOSTA":{"resources":{"MEMORY_MB":10,"VCPU":1}}},"mappings":{"":["HOSTA"]}}],` +
			`"provider_summaries":{"HOSTA":{"parent_provider_uuid":null,"resources":{"MEMORY_MB":{"capacity":90,"used":0},"VCPU":{"capacity":4,"used":0}},"root_provider_uuid":"HOSTA","traits":["HW_CPU_X86_AVX"]}}}`},
		{"GET /allocation_candidates?resources=VCPU:1&limit=1", "", "1.16", 200, `"provider_summaries":{"HOSTA":{"resources":{"VCPU":{"capacity":4,"used":0}}}}`},
		{"GET /allocation_candidates?resources=VCPU:1", "", "1.10", 200, `{"allocations":[{"resource_provider":{"uuid":"HOSTB"},"resources":{"VCPU":1}}]}`},
		{"GET /allocation_candidates?resources=VCPU:5", "", "", 200, `{"allocation_requests":[{"allocations":{"HOSTB"`},
		{"GET /allocation_candidates?resources=VCPU:65", "", "", 200, `{"allocation_requests":[],"provider_summaries":{}}`},
		{"GET /allocation_candidates?resources=VCPU:1&required=!HW_CPU_X86_AVX", "", "", 200, `{"allocation_requests":[{"allocations":{"HOSTB"`},
		{"GET /allocation_candidates?resources=VCPU:1&required=in:HW_CPU_X86_AVX,HW_CPU_X86_SSE&member_of=GROUP1", "", "", 200, `{"allocation_requests":[]`},
		{"GET /allocation_candidates?resources=VCPU:1&member_of=!GROUP1", "", "", 200, `{"allocation_requests":[{"allocations":{"HOSTA"`},
		{"GET /allocation_candidates?resources=VCPU:1&member_of=in:GROUP1,GROUP2", "", "", 200, `{"allocation_requests":[{"allocations":{"HOSTB"`},
		{"GET /allocation_candidates?resources=VCPU:1&in_tree=HOSTB", "", "", 200, `{"allocation_requests":[{"allocations":{"HOSTB"`},
		{"GET /allocation_candidates?resources=VCPU:1,CUSTOM_X:1", "", "", 400, `Invalid resource class in resources parameter: No such resource class CUSTOM_X.`},
		{"GET /allocation_candidates?resources=VCPU:1&required=XX", "", "", 400, `No such trait(s): XX.`},
		{"GET /allocation_candidates?resources=VCPU:1&limit=0", "", "", 400, `'0' does not match '^[1-9][0-9]*$'`},
		{"GET /allocation_candidates?resources=VCPU:1&limit=1", "", "1.10", 400, `Additional properties are not allowed ('limit' was unexpected)`},
		{"GET /allocation_candidates", "", "", 400, `"code":"placement.query.missing_value"`},
		{"GET /allocation_candidates?resources=VCPU", "", "", 400, `Got: VCPU.`},
		{"GET /allocation_candidates?resources=VCPU:1", "", "1.9", 404, ``},
		{"GET /resource_providers?required=HW_CPU_X86_AVX", "", "", 200, `{"resource_providers":[{"generation":2`},
		{"GET /resource_providers?required=HW_CPU_X86_AVX", "", "1.17", 400, `('required' was unexpected)`},
		{"GET /resource_providers?member_of=x", "", "", 400, `to contain valid UUID(s). Got: x`},
	})
}
