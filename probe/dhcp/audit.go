package dhcp

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Socket is a UDP socket on the DHCP servers' port.
type Socket struct {
	Local   netip.Addr // unspecified: any
	Device  int        // the index of the interface that it is bound to (SO_BINDTODEVICE); 0: none
	UID     uint32
	Inode   uint32
	PID     int    // of a process that has it, looked for if several are unbound; 0: not found, for lack of CAP_SYS_PTRACE
	Process string // that process's name
}

// Unbound says that the socket takes what comes for any address and from any interface.
func (s Socket) Unbound() bool { return s.Device == 0 && s.Local.IsUnspecified() }

// Audit is what a network namespace's DHCP servers have open.
type Audit struct {
	Sockets   []Socket
	Addresses map[netip.Addr]bool // the namespace's own
}

// Unbound are the sockets that are bound to nothing.
func (a Audit) Unbound() []Socket {
	return slices.DeleteFunc(slices.Clone(a.Sockets), func(s Socket) bool { return !s.Unbound() })
}

// Shared says that several processes have an unbound socket. Broadcasts come to each of them, but a unicast, as a renewal is,
// comes to one alone: to the last one started where they set SO_REUSEADDR, or have different users, and to one picked by a
// hash of the packet's addresses and ports where they set SO_REUSEPORT. The wrong one drops it and logs nothing.
func (a Audit) Shared() bool { return len(a.Processes()) > 1 }

// Processes are those with an unbound socket, as "NAME (PID)".
func (a Audit) Processes() []string {
	var names []string
	for _, s := range a.Unbound() {
		name := fmt.Sprintf("%s (%d)", s.Process, s.PID)
		if s.PID == 0 {
			name = fmt.Sprintf("a process of user %d (socket %d)", s.UID, s.Inode)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// AuditSockets looks at a network namespace's sockets on port 67; a namespace as Target has it. Only IPv4 sockets count: DHCP
// servers have no others for IPv4.
func AuditSockets(namespace string) (Audit, error) {
	var a Audit
	err := inNamespace(namespace, func() error {
		var err error
		if a.Addresses, err = localAddresses(); err != nil {
			return err
		}
		a.Sockets, err = serverSockets()
		return err
	})
	if err != nil {
		return Audit{}, fmt.Errorf("auditing the sockets of DHCP servers: %w", err)
	}
	if len(a.Unbound()) > 1 {
		a.findProcesses() // which takes a look at everything that is open on the host
	}
	return a, nil
}

// serverSockets are the sockets on port 67 in the thread's namespace.
func serverSockets() (found []Socket, _ error) {
	// /proc/net/udp does not know of devices; sock_diag(7) does.
	sockets, err := netlink.SocketDiagUDP(unix.AF_INET)
	if err != nil {
		return nil, fmt.Errorf("listing UDP sockets: %w", err)
	}
	for _, s := range sockets {
		if s.ID.SourcePort == portOfServers {
			found = append(found, Socket{Local: address(s.ID.Source), Device: int(s.ID.Interface), UID: s.UID, Inode: s.INode})
		}
	}
	return found, nil
}

// findProcesses looks for the processes that have the sockets open. Those of others are seen with CAP_SYS_PTRACE only.
func (a *Audit) findProcesses() {
	byLink := map[string]*Socket{}
	for i := range a.Sockets {
		byLink[fmt.Sprintf("socket:[%d]", a.Sockets[i].Inode)] = &a.Sockets[i]
	}
	if len(byLink) == 0 {
		return
	}
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range processes {
		open, err := os.ReadDir(filepath.Join(dir, "fd"))
		if err != nil {
			continue // it has ended, or is another's
		}
		for _, fd := range open {
			link, _ := os.Readlink(filepath.Join(dir, "fd", fd.Name()))
			s := byLink[link]
			if s == nil || s.PID != 0 {
				continue
			}
			name, _ := os.ReadFile(filepath.Join(dir, "comm"))
			s.Process = strings.ToValidUTF8(strings.TrimSpace(string(name)), "?")
			s.PID, _ = strconv.Atoi(filepath.Base(dir))
		}
	}
}
