package wire

import "fmt"

// ChannelType is a kind of channel (SPICE_CHANNEL_* in enums.h).
type ChannelType uint8

// The channels that deskstorm opens or meets in a server's list.
const (
	Main     ChannelType = 1
	Display  ChannelType = 2
	Inputs   ChannelType = 3
	Cursor   ChannelType = 4
	Playback ChannelType = 5
	Record   ChannelType = 6
	USBRedir ChannelType = 9
	Port     ChannelType = 10
	WebDAV   ChannelType = 11
)

var channelNames = map[ChannelType]string{
	Main: "main", Display: "display", Inputs: "inputs", Cursor: "cursor", Playback: "playback",
	Record: "record", 7: "tunnel", 8: "smartcard", USBRedir: "usbredir", Port: "port", WebDAV: "webdav",
}

// String returns the name that virt-viewer's files and QEMU's options use.
func (t ChannelType) String() string {
	if n, ok := channelNames[t]; ok {
		return n
	}
	return fmt.Sprintf("channel type %d", uint8(t))
}

// ParseChannelType reads a name as String gives it.
func ParseChannelType(name string) (ChannelType, error) {
	for t, n := range channelNames {
		if n == name {
			return t, nil
		}
	}
	return 0, fmt.Errorf("no SPICE channel is called %q", name)
}

// ChannelID names one channel of a desktop: a desktop with two monitors may
// have two display channels.
type ChannelID struct {
	Type ChannelType
	ID   uint8
}
