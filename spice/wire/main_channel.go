package wire

import (
	"encoding/binary"
	"fmt"
)

// Messages of the main channel, from the server.
const (
	MsgMainMigrateBegin         uint16 = 101
	MsgMainInit                 uint16 = 103
	MsgMainChannelsList         uint16 = 104
	MsgMainMouseMode            uint16 = 105
	MsgMainMigrateSwitchHost    uint16 = 111
	MsgMainMigrateBeginSeamless uint16 = 116
)

// Messages of the main channel, from the client.
const (
	MsgcMainClientInfo          uint16 = 101
	MsgcMainMigrateConnectError uint16 = 103
	MsgcMainAttachChannels      uint16 = 104
	MsgcMainMouseModeRequest    uint16 = 105
)

// Mouse modes: in server mode the client sends motions, in client mode
// positions.
const (
	MouseServer uint32 = 1
	MouseClient uint32 = 2
)

// Init is the main channel's first message. SessionID is the connection id of
// all other channels.
type Init struct {
	SessionID      uint32
	DisplayHint    uint32
	SupportedMouse uint32
	CurrentMouse   uint32
	AgentConnected uint32
	AgentTokens    uint32
	MultiMediaTime uint32
	RAMHint        uint32
}

// InitSize is the size of INIT's body.
const InitSize = 32

// Append adds the body.
func (m Init) Append(b []byte) []byte {
	for _, v := range [...]uint32{m.SessionID, m.DisplayHint, m.SupportedMouse, m.CurrentMouse,
		m.AgentConnected, m.AgentTokens, m.MultiMediaTime, m.RAMHint} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b
}

// ParseInit reads the body.
func ParseInit(b []byte) (Init, error) {
	d := decoder{b: b}
	m := Init{
		SessionID: d.u32("session id"), DisplayHint: d.u32("display channels hint"),
		SupportedMouse: d.u32("supported mouse modes"), CurrentMouse: d.u32("current mouse mode"),
		AgentConnected: d.u32("agent connected"), AgentTokens: d.u32("agent tokens"),
		MultiMediaTime: d.u32("multi media time"), RAMHint: d.u32("ram hint"),
	}
	return m, d.err
}

// MaxChannels bounds CHANNELS_LIST: a channel's type and id are one byte each,
// and no desktop has more than a few of each type.
const MaxChannels = 256

// ParseChannelsList reads the channels that the desktop offers, main not among
// them.
func ParseChannelsList(b []byte) ([]ChannelID, error) {
	d := decoder{b: b}
	n := d.u32("number of channels")
	if d.err == nil && n > MaxChannels {
		d.fail(fmt.Sprintf("%d channels, at most %d are accepted", n, MaxChannels))
	}
	if d.err != nil {
		return nil, d.err
	}
	ids := make([]ChannelID, 0, n)
	for range n {
		id := ChannelID{Type: ChannelType(d.u8("channel type")), ID: d.u8("channel id")}
		if d.err != nil {
			return nil, d.err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// AppendChannelsList adds the body.
func AppendChannelsList(b []byte, ids []ChannelID) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(ids)))
	for _, id := range ids {
		b = append(b, uint8(id.Type), id.ID)
	}
	return b
}

// MouseMode tells the modes that the desktop supports and the one in use.
type MouseMode struct{ Supported, Current uint16 }

// Append adds the body.
func (m MouseMode) Append(b []byte) []byte {
	return binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(b, m.Supported), m.Current)
}

// ParseMouseMode reads the body.
func ParseMouseMode(b []byte) (MouseMode, error) {
	d := decoder{b: b}
	m := MouseMode{Supported: d.u16("supported modes"), Current: d.u16("current mode")}
	return m, d.err
}

// Destination is where a migrated desktop is served from. A port of 0 is not
// served.
type Destination struct {
	Port, TLSPort uint16
	Host          string
	Subject       string
}

// MaxDestination is the longest MIGRATE_BEGIN or MIGRATE_SWITCH_HOST body that
// a client keeps, in bytes.
const MaxDestination = 4096

// ParseDestination reads MIGRATE_BEGIN's, MIGRATE_BEGIN_SEAMLESS's and
// MIGRATE_SWITCH_HOST's common part. Host and subject are pointers: offsets
// from the body's start.
func ParseDestination(b []byte) (Destination, error) {
	d := decoder{b: b}
	m := Destination{Port: d.u16("port"), TLSPort: d.u16("tls port")}
	hostSize, hostAt := d.u32("host size"), d.u32("host offset")
	subjectSize, subjectAt := d.u32("subject size"), d.u32("subject offset")
	m.Host = d.textAt(hostAt, hostSize, "host")
	m.Subject = d.textAt(subjectAt, subjectSize, "subject")
	if d.err == nil && m.Host == "" {
		d.fail("no host")
	}
	return m, d.err
}

func (d *decoder) textAt(off, size uint32, field string) string {
	if d.err != nil || off == 0 {
		return ""
	}
	if uint64(off) > uint64(len(d.b)) {
		d.fail(fmt.Sprintf("%s at offset %d of a %d byte message", field, off, len(d.b)))
		return ""
	}
	d.off = int(off)
	return d.text(size, field)
}

// Append adds the body.
func (m Destination) Append(b []byte) []byte {
	const fixed = 20
	b = binary.LittleEndian.AppendUint16(b, m.Port)
	b = binary.LittleEndian.AppendUint16(b, m.TLSPort)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(m.Host)+1))
	b = binary.LittleEndian.AppendUint32(b, fixed)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(m.Subject)+1))
	b = binary.LittleEndian.AppendUint32(b, uint32(fixed+len(m.Host)+1))
	b = append(append(b, m.Host...), 0)
	return append(append(b, m.Subject...), 0)
}
