package demo

// lab is the desktops of a demo.
type lab interface {
	kind() string        // of desktops, for people
	addresses() []string // for shift.js: [site=]host:port
	faults() []fault
	keysReceived() (int64, bool) // how many keys the desktops received, if they count them
	close()
}
