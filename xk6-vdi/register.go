package vdi

import (
	"go.k6.io/k6/v2/js/modules"
	k6output "go.k6.io/k6/v2/output"

	"github.com/deskstorm/deskstorm/xk6-vdi/output"
)

// k6 finds extensions by what was registered before its main function runs, so an init is the only place.
func init() {
	modules.Register("k6/x/vdi", new(RootModule))
	k6output.RegisterExtension("vdi", output.New)
}
