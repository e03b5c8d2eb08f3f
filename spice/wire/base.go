package wire

import (
	"encoding/binary"
	"fmt"
)

// Messages of every channel, from the server (SPICE_MSG_*).
const (
	MsgMigrate         uint16 = 1
	MsgMigrateData     uint16 = 2
	MsgSetAck          uint16 = 3
	MsgPing            uint16 = 4
	MsgWaitForChannels uint16 = 5
	MsgDisconnecting   uint16 = 6
	MsgNotify          uint16 = 7
	MsgList            uint16 = 8
)

// Messages of every channel, from the client (SPICE_MSGC_*).
const (
	MsgcAckSync          uint16 = 1
	MsgcAck              uint16 = 2
	MsgcPong             uint16 = 3
	MsgcMigrateFlushMark uint16 = 4
	MsgcMigrateData      uint16 = 5
	MsgcDisconnecting    uint16 = 6
)

// Flags of MIGRATE.
const (
	MigrateNeedFlush        = 1 << 0
	MigrateNeedDataTransfer = 1 << 1
)

// SetAck asks the client to send an ACK for every Window messages, after
// answering with ACK_SYNC and the same Generation.
type SetAck struct{ Generation, Window uint32 }

// Append adds the body.
func (m SetAck) Append(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, m.Generation), m.Window)
}

// ParseSetAck reads the body.
func ParseSetAck(b []byte) (SetAck, error) {
	d := decoder{b: b}
	m := SetAck{Generation: d.u32("generation"), Window: d.u32("window")}
	return m, d.err
}

// PingSize is the part of PING that PONG sends back; padding may follow it.
const PingSize = 12

// Ping carries the server's own clock, in microseconds of its choice, which
// comes back in PONG: the measurement is the server's, not the client's.
type Ping struct {
	ID        uint32
	Timestamp uint64
}

// Append adds the body.
func (m Ping) Append(b []byte) []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(b, m.ID), m.Timestamp)
}

// ParsePing reads the first PingSize bytes of the body.
func ParsePing(b []byte) (Ping, error) {
	d := decoder{b: b}
	m := Ping{ID: d.u32("id"), Timestamp: d.u64("timestamp")}
	return m, d.err
}

// Wait names a message of another channel that must have been handled before
// this channel goes on: Serial counts that channel's messages from 1.
type Wait struct {
	Channel ChannelID
	Serial  uint64
}

// ParseWaitForChannels reads the body: at most 255 waits.
func ParseWaitForChannels(b []byte) ([]Wait, error) {
	d := decoder{b: b}
	n := int(d.u8("wait count"))
	waits := make([]Wait, 0, n)
	for range n {
		w := Wait{Channel: ChannelID{Type: ChannelType(d.u8("channel type")), ID: d.u8("channel id")}, Serial: d.u64("serial")}
		if d.err != nil {
			return nil, d.err
		}
		waits = append(waits, w)
	}
	return waits, d.err
}

// AppendWaitForChannels adds the body for at most 255 waits.
func AppendWaitForChannels(b []byte, waits []Wait) []byte {
	b = append(b, uint8(len(waits)))
	for _, w := range waits {
		b = append(b, uint8(w.Channel.Type), w.Channel.ID)
		b = binary.LittleEndian.AppendUint64(b, w.Serial)
	}
	return b
}

// Disconnecting is a polite end, from either side.
type Disconnecting struct {
	Timestamp uint64
	Reason    LinkError
}

// Append adds the body.
func (m Disconnecting) Append(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint64(b, m.Timestamp), uint32(m.Reason))
}

// ParseDisconnecting reads the body.
func ParseDisconnecting(b []byte) (Disconnecting, error) {
	d := decoder{b: b}
	m := Disconnecting{Timestamp: d.u64("timestamp"), Reason: LinkError(d.u32("reason"))}
	return m, d.err
}

// Severity of a NOTIFY (SPICE_NOTIFY_SEVERITY_*).
type Severity uint32

// The severities.
const (
	SeverityInfo  Severity = 0
	SeverityWarn  Severity = 1
	SeverityError Severity = 2
)

func (s Severity) String() string {
	switch s {
	case SeverityInfo:
		return "info"
	case SeverityWarn:
		return "warning"
	case SeverityError:
		return "error"
	}
	return fmt.Sprintf("severity %d", uint32(s))
}

// Notify is a server's word for a person, such as "keyboard channel is
// insecure".
type Notify struct {
	Timestamp  uint64
	Severity   Severity
	Visibility uint32
	What       uint32
	Text       string
}

// MaxNotify is the longest NOTIFY body that a client keeps, in bytes.
const MaxNotify = 24 + 1<<10

// Append adds the body.
func (m Notify) Append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, m.Timestamp)
	b = binary.LittleEndian.AppendUint32(b, uint32(m.Severity))
	b = binary.LittleEndian.AppendUint32(b, m.Visibility)
	b = binary.LittleEndian.AppendUint32(b, m.What)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(m.Text)))
	return append(append(b, m.Text...), 0)
}

// ParseNotify reads the body. The server counts the text without its NUL.
func ParseNotify(b []byte) (Notify, error) {
	d := decoder{b: b}
	m := Notify{Timestamp: d.u64("timestamp"), Severity: Severity(d.u32("severity")), Visibility: d.u32("visibility"), What: d.u32("what")}
	m.Text = d.text(d.u32("text length"), "text")
	return m, d.err
}
