package control

import "time"

// tokensExpire ends the lifetime's change; tokens that have expired stay so.
type tokensExpire struct {
	Lifetime duration `json:"lifetime,omitempty"` // of those issued from now on; 0: as before
}

func (f *tokensExpire) inject(a *attempt) error {
	if f.Lifetime > 0 {
		if err := a.hold("lifetime of", "tokens"); err != nil {
			return err
		}
		a.undoes(a.Sim.SetTokenLifetime(time.Duration(f.Lifetime)))
	}
	a.Sim.ExpireTokens()
	return nil
}
