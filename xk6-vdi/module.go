package vdi

import (
	"errors"
	"fmt"

	"go.k6.io/k6/v2/js/common"
	"go.k6.io/k6/v2/js/modules"
)

// RootModule is shared by all virtual users of a process: it keeps the open
// sessions.
type RootModule struct{ sessions sessions }

// NewModuleInstance returns the module of one virtual user.
func (r *RootModule) NewModuleInstance(vu modules.VU) modules.Instance {
	r.sessions.watchTestEnd(vu)
	m, err := registerMetrics(vu.InitEnv().Registry)
	if err != nil {
		common.Throw(vu.Runtime(), err)
	}
	return &instance{vu: vu, metrics: m, sessions: &r.sessions}
}

type instance struct {
	vu       modules.VU
	metrics  *vdiMetrics
	sessions *sessions
	opened   uint64 // sessions opened by this virtual user, for their seeds
}

// Exports is what `import vdi from 'k6/x/vdi'` and `import { connect } ...`
// give.
func (i *instance) Exports() modules.Exports {
	exports := map[string]any{"connect": i.connect}
	return modules.Exports{Default: exports, Named: exports}
}

var errInitContext = errors.New("thin clients connect in a virtual user's code, not in the init context")

// throw ends a call whose arguments make no sense.
func (i *instance) throw(format string, args ...any) {
	common.Throw(i.vu.Runtime(), fmt.Errorf(format, args...))
}
