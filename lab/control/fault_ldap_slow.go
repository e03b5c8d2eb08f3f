package control

import (
	"net/http"
	"time"
)

type ldapSlow struct {
	Delay duration `json:"delay"`
}

func (f *ldapSlow) inject(a *attempt) error {
	if f.Delay <= 0 {
		return badRequest("Say a delay.")
	}
	if err := a.takeDirectory("delay"); err != nil {
		return err
	}
	a.Directory.Slow(time.Duration(f.Delay))
	a.undoes(func() { a.Directory.Slow(0) })
	return nil
}

// takeDirectory holds a switch of the directory.
func (a *attempt) takeDirectory(which string) error {
	if a.Directory == nil {
		return &refusal{http.StatusUnprocessableEntity, "target", "This lab has no directory."}
	}
	return a.hold(wholeLDAP, which)
}
