package control

type ldapDown struct{}

func (f *ldapDown) inject(a *attempt) error {
	if err := a.takeDirectory("ports"); err != nil {
		return err
	}
	a.undo(func() error { return a.Directory.Down(false) })
	return a.Directory.Down(true)
}
