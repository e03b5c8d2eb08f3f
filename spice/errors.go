package spice

import (
	"errors"
	"fmt"

	"github.com/deskstorm/deskstorm/spice/wire"
)

// Ends of a session that callers decide on, to be tested with errors.Is.
var (
	// ErrClosed: this side closed the session.
	ErrClosed = errors.New("the session was closed by this client")
	// ErrEvicted: the server lives and has ended all the session's channels at
	// once. A desktop serves one thin client; another one took it over. (A
	// server does the same with a client that has not answered PING for 30 s,
	// which this one does unless its process stood still.)
	ErrEvicted = errors.New("another client took the desktop over")
	// ErrServerGone: nothing answers any more where the desktop was served.
	ErrServerGone = errors.New("the desktop's server is gone")
	// ErrPermissionDenied: the ticket is wrong or has expired; the protocol
	// does not tell which.
	ErrPermissionDenied = errors.New("the ticket is wrong or has expired")
)

// StepError says at which step of a connect something failed.
type StepError struct {
	Step Step
	Addr string
	Err  error
}

func (e *StepError) Error() string {
	return fmt.Sprintf("connecting to desktop %s, step %s: %v", e.Addr, e.Step, e.Err)
}

func (e *StepError) Unwrap() error { return e.Err }

// ProtocolError says where a server's bytes stopped making sense. Offset counts
// from the start of the message's body.
type ProtocolError struct {
	Channel wire.ChannelID
	Message uint16
	Offset  int
	What    string
}

func (e *ProtocolError) Error() string {
	return fmt.Sprintf("%s channel, message %d, byte %d: %s", e.Channel.Type, e.Message, e.Offset, e.What)
}

// MigratedError ends a session whose desktop was moved to another host. The
// desktop runs on; Session.Reconnect goes there.
type MigratedError struct{ To wire.Destination }

func (e *MigratedError) Error() string {
	return fmt.Sprintf("the desktop was migrated to %s (port %d, TLS port %d)", e.To.Host, e.To.Port, e.To.TLSPort)
}

// DisconnectedError ends a session that the server ended politely.
type DisconnectedError struct{ Reason wire.LinkError }

func (e *DisconnectedError) Error() string {
	if e.Reason == wire.LinkOK {
		return "the server ended the session"
	}
	return fmt.Sprintf("the server ended the session: %v", e.Reason)
}
