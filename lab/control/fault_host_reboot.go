package control

import "time"

// hostReboot is the fault of Open vSwitch stopped before libvirt, or started after it: the bridge keeps the records of ports whose
// devices it has never seen again, and the desktops run without network.
type hostReboot struct {
	Host   string   `json:"host"`
	Outage duration `json:"outage,omitempty"` // until the host is back and its desktops boot
}

func (f *hostReboot) inject(a *attempt) error {
	servers, err := a.takeHost(f.Host)
	if err != nil {
		return err
	}
	for _, s := range servers {
		if err := a.hold(itsPort, s.ID); err != nil {
			return err
		}
	}
	if err := a.cut(servers); err != nil {
		return err
	}
	back, err := a.fail(f.Host, servers)
	if err != nil {
		return err
	}
	// The host is back after the outage, or before if the fault is undone meanwhile.
	timer := time.AfterFunc(time.Duration(f.Outage), func() { _ = back() }) // the undo says the error
	a.undo(func() error {
		timer.Stop()
		return back()
	})
	return nil
}
