package vdi

import (
	"errors"
	"fmt"
	"sync"

	"go.k6.io/k6/v2/js/common"
	"go.k6.io/k6/v2/js/modules"

	"github.com/deskstorm/deskstorm/broker/client"
)

// RootModule is shared by all virtual users of a process: it keeps what is open
// and ends it with the test.
type RootModule struct {
	watch     sync.Once
	outputs   outputs
	sessions  sessions
	logins    logins
	clouds    clouds
	reporters reporters
}

// NewModuleInstance returns the module of one virtual user.
func (r *RootModule) NewModuleInstance(vu modules.VU) modules.Instance {
	r.watchTestEnd(vu)
	m, err := registerMetrics(vu.InitEnv().Registry)
	if err != nil {
		common.Throw(vu.Runtime(), err)
	}
	return &instance{vu: vu, metrics: m, process: r, brokers: map[way]*client.Broker{}}
}

// testEnd is k6's event for the end of all virtual users' work, teardown
// included; outputs still take samples then. Its name lives in an internal
// package of k6 (internal/event, TestEnd); a test holds the number.
const testEnd = 3

// watchTestEnd ends everything when k6 says that the test has ended, which it
// does after gracefulStop, after an abort and after SIGINT alike.
func (r *RootModule) watchTestEnd(vu modules.VU) {
	r.watch.Do(func() {
		r.sessions.init(&r.outputs)
		r.logins.init(&r.outputs)
		r.reporters.init(&r.outputs)
		global := vu.Events().Global
		if global == nil {
			return // Only in tests of modules.
		}
		_, events := global.Subscribe(testEnd)
		go func() {
			for e := range events {
				r.close()
				e.Done()
			}
		}()
	})
}

// close leaves the desktops before it logs out, as people do: else their
// sessions would end unasked. Nothing reaches k6's outputs afterwards.
func (r *RootModule) close() {
	r.sessions.close()
	r.logins.close()
	r.reporters.close()
	r.outputs.end()
}

// instance is the module of one virtual user.
type instance struct {
	vu      modules.VU
	metrics *vdiMetrics
	process *RootModule
	opened  uint64 // sessions opened by this virtual user, for their seeds

	mu      sync.Mutex
	brokers map[way]*client.Broker
}

// Exports is what `import vdi from 'k6/x/vdi'` and `import { connect } ...`
// give.
func (i *instance) Exports() modules.Exports {
	// One function object, so that instanceof works.
	thinClient := i.vu.Runtime().ToValue(i.newThinClient)
	exports := map[string]any{"connect": i.connect, "ThinClient": thinClient}
	return modules.Exports{Default: exports, Named: exports}
}

var errInitContext = errors.New("thin clients connect in a virtual user's code, not in the init context")

// throw ends a call whose arguments make no sense.
func (i *instance) throw(format string, args ...any) {
	common.Throw(i.vu.Runtime(), fmt.Errorf(format, args...))
}
