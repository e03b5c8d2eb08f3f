package control

import (
	"net/http"
	"slices"

	"github.com/deskstorm/deskstorm/lab/sim"
)

// hostDown ends when the host is up again; with its desktops, where there is no hardware on which they take as long as they do.
type hostDown struct {
	Host string `json:"host"`
}

func (f *hostDown) inject(a *attempt) error {
	servers, err := a.takeHost(f.Host)
	if err != nil {
		return err
	}
	back, err := a.fail(f.Host, servers)
	if err != nil {
		return err
	}
	a.undo(back)
	return nil
}

// takeHost holds a host and the desktops that run there, and says that they are hit.
func (a *attempt) takeHost(name string) ([]sim.Server, error) {
	if name == "" {
		return nil, badRequest("Say which host.")
	}
	if err := a.checkHost(name); err != nil {
		return nil, err
	}
	if err := a.hold(wholeHost, name); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(a.Sim.Hosts(), func(h sim.HostState) bool { return h.Name == name && h.Down }) {
		return nil, noTarget("The host %q is down already.", name) // its hardware died
	}
	servers := a.activeOn(name)
	a.hits(name)
	for _, s := range servers {
		if err := a.hold(guest, s.ID); err != nil {
			return nil, err
		}
		a.hits(s.ID)
	}
	return servers, nil
}

func (a *attempt) activeOn(host string) []sim.Server {
	var servers []sim.Server
	for _, s := range a.Sim.Servers() {
		if s.Host == host && isActive(s) {
			servers = append(servers, s)
		}
	}
	return servers
}

// refuseConsoles is what Nova does for desktops of a host that does not answer: after a minute it gives up with 500
// (rpc_response_timeout); here at once.
func (a *attempt) refuseConsoles(servers []sim.Server) (undo func()) {
	var undos []func()
	for _, s := range servers {
		undos = append(undos, a.Sim.RefuseConsoles(s.ID, http.StatusInternalServerError))
	}
	return func() {
		for _, undo := range undos {
			undo()
		}
	}
}
