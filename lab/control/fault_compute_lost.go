package control

// computeLost leaves what was lost in BUILD, also when it is undone: nobody sends the message again.
type computeLost struct {
	Host  string `json:"host,omitempty"`  // any if empty
	Times int    `json:"times,omitempty"` // so many servers; 0: all until it is undone
}

func (f *computeLost) inject(a *attempt) error {
	if f.Times < 0 {
		return badRequest("times is not negative.")
	}
	if f.Host != "" {
		if err := a.checkHost(f.Host); err != nil {
			return err
		}
	}
	undo, err := a.Sim.LoseBuilds(f.Host, f.Times)
	if err != nil {
		return err
	}
	a.undoes(undo)
	if f.Host != "" {
		a.hits(f.Host)
	}
	return nil
}
