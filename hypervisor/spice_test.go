package hypervisor

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/digitalocean/go-libvirt"
	"github.com/stretchr/testify/require"
)

// TestErrorsOfUpdates holds answers of libvirt 9.0.0 to updates with the ticket "hush".
func TestErrorsOfUpdates(t *testing.T) {
	for name, c := range map[string]struct {
		answer     libvirt.Error
		ticketless bool
		want       string
	}{
		"no ticketing": {
			answer: libvirt.Error{Code: uint32(libvirt.ErrInternalError),
				Message: "internal error: unable to execute QEMU command 'set_password': Could not set password"},
			ticketless: true,
			want:       "internal error: unable to execute QEMU command 'set_password': Could not set password",
		},
		"XML is quoted": {
			answer: libvirt.Error{Code: uint32(libvirt.ErrXMLDetail), Message: "(device_definition):1: Couldn't find end of Start Tag " +
				"listen line 1\n<graphics type='spice' passwd='hush'><listen\n--------^"},
			want: "(device_definition):1: Couldn't find end of Start Tag listen line 1",
		},
		"an attribute is quoted": {
			answer: libvirt.Error{Code: uint32(libvirt.ErrXMLError), Message: "XML error: Invalid value for attribute 'passwd': 'hush'"},
			want:   "XML error: Invalid value for attribute 'passwd': '(ticket)'",
		},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.ticketless, ticketless(c.answer))
			require.EqualError(t, withoutTicket(c.answer, "hush"), c.want)
		})
	}
	require.NoError(t, withoutTicket(nil, "hush"))
	require.False(t, ticketless(nil))
	require.Equal(t, io.EOF, withoutTicket(io.EOF, "hush"))
}

func TestTyped(t *testing.T) {
	answer := func(code libvirt.ErrorNumber, message string) error {
		return libvirt.Error{Code: uint32(code), Message: message}
	}
	require.NoError(t, typed(nil))
	require.Equal(t, io.EOF, typed(io.EOF))
	require.ErrorIs(t, typed(answer(libvirt.ErrNoDomain, "Domain not found")), ErrNoDomain)
	require.ErrorIs(t, typed(fmt.Errorf("again: %w", answer(libvirt.ErrNoDomain, ""))), ErrNoDomain)
	require.ErrorIs(t, typed(answer(libvirt.ErrOperationInvalid, "Requested operation is not valid: domain is not running")), ErrNotRunning)
	other := typed(answer(libvirt.ErrOperationInvalid, "Timed out during operation"))
	require.EqualError(t, other, "libvirt: Timed out during operation (error 55)")
	require.False(t, errors.As(other, new(libvirt.Error)), "the library is nobody else's matter")
}
