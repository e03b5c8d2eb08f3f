package control

// desktopKill ends when the desktops have booted again.
type desktopKill struct{ desktops }

func (f *desktopKill) inject(a *attempt) error {
	servers, err := a.choose(f.desktops, guest, "has booted", hasBooted)
	if err != nil {
		return err
	}
	a.undo(a.kill(servers))
	return nil
}
