package qemu

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// maxTicket is SPICE_MAX_PASSWORD_LENGTH of spice-protocol's protocol.h.
const maxTicket = 60

func checkTicket(ticket string) error {
	if len(ticket) > maxTicket {
		return fmt.Errorf("the ticket has %d bytes, SPICE allows %d", len(ticket), maxTicket)
	}
	if strings.ContainsRune(ticket, 0) {
		return errors.New("the ticket contains a NUL, which ends it in the protocol")
	}
	return nil
}

// ticketFile returns the file QEMU reads its ticket from. It is a pipe, so that the ticket has no name in the file system.
func ticketFile(ticket string) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	_, err = w.WriteString(ticket) // fits into the pipe's buffer
	if err := errors.Join(err, w.Close()); err != nil {
		r.Close()
		return nil, fmt.Errorf("passing the ticket to QEMU: %w", err)
	}
	return r, nil
}

// socketPair returns the two ends of a connection: ours, and the one QEMU inherits.
func socketPair() (net.Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "com1"), os.NewFile(uintptr(fds[1]), "com1 of QEMU")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return conn, theirs, nil
}

// freePorts returns n different loopback ports that nobody listened on a moment ago.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			return nil, fmt.Errorf("looking for a free port: %w", err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
