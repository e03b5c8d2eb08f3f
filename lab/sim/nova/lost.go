package nova

import (
	"errors"
	"fmt"
	"slices"
)

// errLost is what a build ends with whose message nobody got: nothing more happens to the server, and its action never ends.
var errLost = errors.New("the message to build the server was lost")

// loss loses messages to build servers.
type loss struct {
	host *host // nil: all
	left int   // -1: any number
}

// LoseBuilds makes servers that are scheduled to a host, or to any if its name is empty, stay in BUILD for ever: the message
// to the host's nova-compute is lost, while Placement counts the server. So many of them, or if times is 0 all until undo.
// Those that were lost stay lost, and are ERROR when the nova-compute is started again (SetHostDown). The error is for a host that
// there is not.
func (n *Nova) LoseBuilds(hostName string, times int) (undo func(), err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := &loss{left: times}
	if times <= 0 {
		l.left = -1
	}
	if hostName != "" {
		if l.host = n.hostNamed(hostName); l.host == nil {
			return nil, fmt.Errorf("there is no host %q", hostName)
		}
	}
	n.losses = append(n.losses, l)
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.losses = slices.DeleteFunc(n.losses, func(o *loss) bool { return o == l })
	}, nil
}

// loses tells whether the next message to a host is lost. It is called with the lock held.
func (n *Nova) loses(h *host) bool {
	for _, l := range n.losses {
		if l.left != 0 && (l.host == nil || l.host == h) {
			l.left = max(l.left-1, -1)
			return true
		}
	}
	return false
}
