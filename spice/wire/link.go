package wire

import (
	"encoding/binary"
	"fmt"
)

// Sizes of the link phase (protocol.h).
const (
	LinkHeaderSize = 16  // magic, major, minor, size
	PubKeySize     = 162 // DER SubjectPublicKeyInfo of an RSA-1024 key
	TicketSize     = 128 // one RSA-1024 block
	MaxTicket      = 60  // bytes, without the NUL that is encrypted with it
	AuthSpice      = 1   // the mechanism sent when both sides have CapAuthSelection
	versionMajor   = 2
	versionMinor   = 2
	// maxLink is the largest link message either side accepts. A server
	// allows 1,024 capability words of each kind; nothing real sends more
	// than a few.
	maxLink = 4096
)

var magic = [4]byte{'R', 'E', 'D', 'Q'}

// Common capabilities, by bit (SPICE_COMMON_CAP_* in protocol.h).
const (
	CapAuthSelection = 0
	CapAuthSpice     = 1
	CapAuthSASL      = 2
	CapMiniHeader    = 3
)

// Caps is a set of capability bits, the first 32 of which are all that the
// protocol has used so far.
type Caps uint32

// CapsOf sets the given bits.
func CapsOf(bits ...uint) Caps {
	var c Caps
	for _, b := range bits {
		c |= 1 << b
	}
	return c
}

// Has tells whether the bit is set.
func (c Caps) Has(bit uint) bool { return c&(1<<bit) != 0 }

// LinkError is a server's refusal in the link phase (SPICE_LINK_ERR_*).
type LinkError uint32

// The refusals that callers decide on.
const (
	LinkOK                  LinkError = 0
	LinkFailed              LinkError = 1
	LinkInvalidMagic        LinkError = 2
	LinkInvalidData         LinkError = 3
	LinkVersionMismatch     LinkError = 4
	LinkNeedSecured         LinkError = 5
	LinkNeedUnsecured       LinkError = 6
	LinkPermissionDenied    LinkError = 7
	LinkBadConnectionID     LinkError = 8
	LinkChannelNotAvailable LinkError = 9
)

func (e LinkError) Error() string {
	names := [...]string{"no error", "error", "invalid magic", "invalid data", "version mismatch",
		"this channel must be opened on the TLS port", "this channel must be opened on the plain port",
		"permission denied: the ticket is wrong or has expired", "bad connection id", "channel not available"}
	if int(e) < len(names) {
		return "the server refused the link: " + names[e]
	}
	return fmt.Sprintf("the server refused the link with error %d", uint32(e))
}

// LinkRequest is the client's first message on every channel. ConnectionID is
// 0 on main; on the others it is the session id of main's INIT.
type LinkRequest struct {
	ConnectionID uint32
	Channel      ChannelID
	Common, Caps Caps
}

// Append adds the link header and the request to b.
func (m LinkRequest) Append(b []byte) []byte {
	b = appendLinkHeader(b, 18+8)
	b = binary.LittleEndian.AppendUint32(b, m.ConnectionID)
	b = append(b, uint8(m.Channel.Type), m.Channel.ID)
	b = binary.LittleEndian.AppendUint32(b, 1)  // common capability words
	b = binary.LittleEndian.AppendUint32(b, 1)  // channel capability words
	b = binary.LittleEndian.AppendUint32(b, 18) // their offset in this message
	b = binary.LittleEndian.AppendUint32(b, uint32(m.Common))
	return binary.LittleEndian.AppendUint32(b, uint32(m.Caps))
}

// ParseLinkRequest reads the bytes after the link header.
func ParseLinkRequest(b []byte) (LinkRequest, error) {
	d := decoder{b: b}
	m := LinkRequest{ConnectionID: d.u32("connection id")}
	m.Channel = ChannelID{Type: ChannelType(d.u8("channel type")), ID: d.u8("channel id")}
	err := d.caps(&m.Common, &m.Caps)
	return m, err
}

// LinkReply is the server's answer. PubKey encrypts the ticket.
type LinkReply struct {
	Error        LinkError
	PubKey       []byte
	Common, Caps Caps
}

// Append adds the link header and the reply to b. PubKey must have PubKeySize
// bytes, or none, which sends zeros as a server does with an error.
func (m LinkReply) Append(b []byte) []byte {
	if m.Error != LinkOK {
		// A refusal is the bare reply without capabilities.
		b = appendLinkHeader(b, 4+PubKeySize+12)
		b = binary.LittleEndian.AppendUint32(b, uint32(m.Error))
		return append(b, make([]byte, PubKeySize+12)...)
	}
	b = appendLinkHeader(b, 4+PubKeySize+12+8)
	b = binary.LittleEndian.AppendUint32(b, uint32(m.Error))
	var key [PubKeySize]byte
	copy(key[:], m.PubKey)
	b = append(b, key[:]...)
	b = binary.LittleEndian.AppendUint32(b, 1)
	b = binary.LittleEndian.AppendUint32(b, 1)
	b = binary.LittleEndian.AppendUint32(b, 4+PubKeySize+12)
	b = binary.LittleEndian.AppendUint32(b, uint32(m.Common))
	return binary.LittleEndian.AppendUint32(b, uint32(m.Caps))
}

// ParseLinkReply reads the bytes after the link header. A refusal is not an
// error of the parser: it stands in Error.
func ParseLinkReply(b []byte) (LinkReply, error) {
	d := decoder{b: b}
	m := LinkReply{Error: LinkError(d.u32("error"))}
	if d.err == nil && m.Error != LinkOK {
		return m, nil
	}
	m.PubKey = d.take(PubKeySize, "public key")
	err := d.caps(&m.Common, &m.Caps)
	return m, err
}

// caps reads the two counts, the offset, and the first word of each list.
func (d *decoder) caps(common, channel *Caps) error {
	nCommon, nChannel := d.u32("common capability count"), d.u32("channel capability count")
	off := d.u32("capability offset")
	if d.err != nil {
		return d.err
	}
	if nCommon > 1024 || nChannel > 1024 {
		d.fail(fmt.Sprintf("%d and %d capability words, at most 1024 each are allowed", nCommon, nChannel))
		return d.err
	}
	if nCommon+nChannel == 0 {
		return nil
	}
	if uint64(off) > uint64(len(d.b)) {
		d.fail(fmt.Sprintf("capabilities at offset %d of a %d byte message", off, len(d.b)))
		return d.err
	}
	d.off = int(off)
	words := d.take(4*int(nCommon+nChannel), "capabilities")
	if d.err != nil {
		return d.err
	}
	if nCommon > 0 {
		*common = Caps(binary.LittleEndian.Uint32(words))
	}
	if nChannel > 0 {
		*channel = Caps(binary.LittleEndian.Uint32(words[4*nCommon:]))
	}
	return nil
}

func appendLinkHeader(b []byte, size uint32) []byte {
	b = append(b, magic[:]...)
	b = binary.LittleEndian.AppendUint32(b, versionMajor)
	b = binary.LittleEndian.AppendUint32(b, versionMinor)
	return binary.LittleEndian.AppendUint32(b, size)
}

// ParseLinkHeader reads the 16 bytes that come first in both directions and
// returns the size of the link message that follows, at most 4,096 bytes.
func ParseLinkHeader(b []byte) (size int, err error) {
	d := decoder{b: b}
	m := d.take(4, "magic")
	if d.err == nil && [4]byte(m) != magic {
		return 0, &Error{Offset: 0, What: fmt.Sprintf("%q is not SPICE's magic \"REDQ\"; is this a SPICE port?", m)}
	}
	major, _ := d.u32("major version"), d.u32("minor version")
	n := d.u32("size")
	switch {
	case d.err != nil:
		return 0, d.err
	case major != versionMajor:
		return 0, &Error{Offset: 4, What: fmt.Sprintf("protocol version %d, this client speaks 2", major)}
	case n > maxLink:
		return 0, &Error{Offset: 12, What: fmt.Sprintf("link message of %d bytes, at most %d are accepted", n, maxLink)}
	}
	return int(n), nil
}
