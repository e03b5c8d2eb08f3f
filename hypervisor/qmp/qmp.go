// Package qmp asks a running QEMU through its monitor socket, in the QEMU Machine Protocol (qmp-spec in QEMU's documentation):
// on hosts without libvirt, and of QEMUs that one has started oneself.
//
// A monitor serves one connection at a time, and others wait without a word. So a command has a connection of its own, which
// lives as long as the command. Where libvirt started QEMU, libvirt holds its monitor for good: ask libvirt there.
package qmp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
)

// ErrHeld: QEMU did not greet, as it does when another program holds the monitor. A QEMU that is stopped or does not get on
// looks the same.
var ErrHeld = errors.New("the monitor does not answer; another program seems to hold it (libvirt holds those of its domains: " +
	"ask libvirt instead, or give QEMU a second -qmp socket)")

// Error is QEMU's refusal of a command.
type Error struct {
	Class       string `json:"class"` // GenericError, CommandNotFound, DeviceNotFound ...
	Description string `json:"desc"`
}

func (e *Error) Error() string { return "QEMU: " + e.Description }

// maxAnswer bounds what is read of one connection, in bytes. A disk's statistics have some 3 kB.
const maxAnswer = 16 << 20

// Execute runs one command on the QEMU that listens on a Unix socket, with its arguments as they become JSON, nil for none, and
// decodes what it returns into result, if that is not nil.
//
// The context bounds it, and should have an end: whoever holds the monitor may hold it for ever. Errors are ErrHeld, an *Error, the
// context's, or the connection's; syscall.ECONNREFUSED is that of a QEMU that has ended. They name command and socket.
func Execute(ctx context.Context, socket, command string, arguments, result any) error {
	returned, err := execute(ctx, socket, command, arguments)
	if err == nil && result != nil {
		if err = json.Unmarshal(returned, result); err != nil {
			err = fmt.Errorf("decoding its answer: %w", err)
		}
	}
	if err != nil {
		return fmt.Errorf("QMP %s on %s: %w", command, socket, err)
	}
	return nil
}

// request is a command. Its answer has the same ID, and events have none.
type request struct {
	Execute   string `json:"execute"`
	Arguments any    `json:"arguments,omitempty"`
	ID        string `json:"id"`
}

// message is whatever QEMU sends.
type message struct {
	QMP    json.RawMessage `json:"QMP"` // the greeting
	ID     string          `json:"id"`
	Return json.RawMessage `json:"return"`
	Error  *Error          `json:"error"`
}

func execute(ctx context.Context, socket, command string, arguments any) (json.RawMessage, error) {
	line, err := json.Marshal(request{command, arguments, command})
	if err != nil {
		return nil, fmt.Errorf("encoding it: %w", err)
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", socket)
	switch {
	case errors.Is(err, syscall.EAGAIN): // so many wait already that the kernel lets no more
		return nil, fmt.Errorf("%w: %w", ErrHeld, err)
	case err != nil:
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()

	messages := json.NewDecoder(io.LimitReader(conn, maxAnswer))
	if err := greet(ctx, messages); err != nil {
		return nil, err
	}
	const negotiate = "qmp_capabilities"
	if _, err := conn.Write([]byte(`{"execute": "` + negotiate + `", "id": "` + negotiate + `"}`)); err != nil {
		return nil, ended(ctx, err)
	}
	if _, err := answer(ctx, messages, negotiate); err != nil {
		return nil, fmt.Errorf("%s: %w", negotiate, err)
	}
	if _, err := conn.Write(line); err != nil {
		return nil, ended(ctx, err)
	}
	return answer(ctx, messages, command)
}

// greet reads the greeting.
func greet(ctx context.Context, messages *json.Decoder) error {
	var greeting message
	err := messages.Decode(&greeting)
	switch {
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ErrHeld, context.Cause(ctx))
	case err != nil:
		return fmt.Errorf("reading QEMU's greeting (is this a QMP socket?): %w", err)
	case greeting.QMP == nil:
		return errors.New("no greeting of QEMU's comes: this is no QMP socket")
	}
	return nil
}

// answer reads until the answer to a command, over the events before it.
func answer(ctx context.Context, messages *json.Decoder, id string) (json.RawMessage, error) {
	for {
		var m message
		if err := messages.Decode(&m); err != nil {
			return nil, ended(ctx, fmt.Errorf("waiting for the answer: %w", err))
		}
		switch {
		case m.ID != id:
			continue
		case m.Error != nil:
			return nil, m.Error
		}
		return m.Return, nil
	}
}

// ended is why reading or writing failed.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("waiting for the answer: %w", context.Cause(ctx))
	}
	return err
}
