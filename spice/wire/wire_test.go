package wire_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/spice/wire"
)

// format is a message's parser and bodies that it reads.
type format struct {
	name  string
	body  []byte
	need  int // bytes without which the body is not whole
	want  any
	parse func([]byte) (any, error)
}

// reads makes a parser of one type a parser of any.
func reads[T any](parse func([]byte) (T, error)) func([]byte) (any, error) {
	return func(b []byte) (any, error) { return parse(b) }
}

func formats() []format {
	key := bytes.Repeat([]byte{0x5a}, wire.PubKeySize)
	base := wire.DrawBase{Surface: 7, Box: wire.Rect{Top: 1, Left: -2, Bottom: 17, Right: 7}}
	request := wire.LinkRequest{ConnectionID: 0x01020304, Channel: wire.ChannelID{Type: wire.Display, ID: 3}, Common: 0xb, Caps: 0x61}
	reply := wire.LinkReply{PubKey: key, Common: 0xb, Caps: 0x61}
	clipped := func(tail []byte, rects ...wire.Rect) []byte {
		b := binary.LittleEndian.AppendUint32(append(wire.AppendDrawFill(nil, base, 0)[:wire.DrawBaseSize:wire.DrawBaseSize], 1), uint32(len(rects)))
		for _, r := range rects {
			for _, v := range []int32{r.Top, r.Left, r.Bottom, r.Right} {
				b = binary.LittleEndian.AppendUint32(b, uint32(v))
			}
		}
		return append(b, tail...)
	}
	two := []wire.Rect{{Bottom: 2, Right: 3}, {Top: -1, Left: -1}}
	fill := wire.AppendDrawFill(nil, base, 0xabcdef)
	all := []format{
		{name: "SET_ACK", body: wire.SetAck{Generation: 1, Window: 20}.Append(nil), want: wire.SetAck{Generation: 1, Window: 20}, parse: reads(wire.ParseSetAck)},
		{name: "PING", body: wire.Ping{ID: 9, Timestamp: 1 << 60}.Append(nil), want: wire.Ping{ID: 9, Timestamp: 1 << 60}, parse: reads(wire.ParsePing)},
		{name: "WAIT_FOR_CHANNELS", body: wire.AppendWaitForChannels(nil, []wire.Wait{{Channel: wire.ChannelID{Type: 2, ID: 1}, Serial: 1 << 63}, {}}),
			want: []wire.Wait{{Channel: wire.ChannelID{Type: 2, ID: 1}, Serial: 1 << 63}, {}}, parse: reads(wire.ParseWaitForChannels)},
		{name: "WAIT_FOR_CHANNELS for none", body: wire.AppendWaitForChannels(nil, nil), want: []wire.Wait{}, parse: reads(wire.ParseWaitForChannels)},
		{name: "DISCONNECTING", body: wire.Disconnecting{Timestamp: 5, Reason: wire.LinkFailed}.Append(nil),
			want: wire.Disconnecting{Timestamp: 5, Reason: wire.LinkFailed}, parse: reads(wire.ParseDisconnecting)},
		// The text's NUL is not counted, and so not needed.
		{name: "NOTIFY", body: wire.Notify{Timestamp: 1, Severity: wire.SeverityWarn, Visibility: 2, What: 3, Text: "insecure"}.Append(nil), need: 24 + 8,
			want: wire.Notify{Timestamp: 1, Severity: wire.SeverityWarn, Visibility: 2, What: 3, Text: "insecure"}, parse: reads(wire.ParseNotify)},
		{name: "main INIT", body: wire.Init{1, 2, 3, 4, 5, 6, 7, 8}.Append(nil), want: wire.Init{1, 2, 3, 4, 5, 6, 7, 8}, parse: reads(wire.ParseInit)},
		{name: "CHANNELS_LIST", body: wire.AppendChannelsList(nil, []wire.ChannelID{{Type: wire.Display}, {Type: wire.Port, ID: 2}}),
			want: []wire.ChannelID{{Type: wire.Display}, {Type: wire.Port, ID: 2}}, parse: reads(wire.ParseChannelsList)},
		{name: "MOUSE_MODE", body: wire.MouseMode{Supported: 3, Current: 2}.Append(nil), want: wire.MouseMode{Supported: 3, Current: 2}, parse: reads(wire.ParseMouseMode)},
		{name: "SWITCH_HOST", body: wire.Destination{Port: 5900, TLSPort: 5901, Host: "node7", Subject: "CN=node7"}.Append(nil),
			want: wire.Destination{Port: 5900, TLSPort: 5901, Host: "node7", Subject: "CN=node7"}, parse: reads(wire.ParseDestination)},
		{name: "KEY_MODIFIERS", body: wire.AppendModifiers(nil, wire.ScrollLock|wire.CapsLock), want: wire.ScrollLock | wire.CapsLock, parse: reads(wire.ParseModifiers)},
		{name: "KEY_DOWN", body: wire.AppendKey(nil, 0x1de0), want: uint32(0x1de0), parse: reads(wire.ParseKey)},
		{name: "link header", body: request.Append(nil)[:wire.LinkHeaderSize], want: 26, parse: reads(wire.ParseLinkHeader)},
		{name: "link request", body: request.Append(nil)[wire.LinkHeaderSize:], want: request, parse: reads(wire.ParseLinkRequest)},
		{name: "link reply", body: reply.Append(nil)[wire.LinkHeaderSize:], want: reply, parse: reads(wire.ParseLinkReply)},
		{name: "link refusal", body: wire.LinkReply{Error: wire.LinkNeedSecured}.Append(nil)[wire.LinkHeaderSize:], need: 4,
			want: wire.LinkReply{Error: wire.LinkNeedSecured}, parse: reads(wire.ParseLinkReply)},
		{name: "SURFACE_CREATE", body: wire.SurfaceCreate{1, 2, 3, 4, 5}.Append(nil), want: wire.SurfaceCreate{1, 2, 3, 4, 5}, parse: reads(wire.ParseSurfaceCreate)},
		{name: "drawing", body: fill, need: wire.DrawBaseSize, want: base, parse: reads(wire.ParseDrawBase)},
		{name: "DRAW_FILL", body: fill, want: wire.DrawFill{DrawBase: base, Solid: true, Color: 0xabcdef, Rop: wire.RopPut}, parse: reads(wire.ParseDrawFill)},
		{name: "clipped DRAW_FILL", body: clipped(fill[wire.DrawBaseSize+1:], two...),
			want: wire.DrawFill{DrawBase: base, Clip: two, Solid: true, Color: 0xabcdef, Rop: wire.RopPut}, parse: reads(wire.ParseDrawFill)},
		{name: "DRAW_FILL without brush", body: clipped(append([]byte{0}, fill[wire.DrawBaseSize+6:]...)),
			want: wire.DrawFill{DrawBase: base, Clip: []wire.Rect{}, Rop: wire.RopPut}, parse: reads(wire.ParseDrawFill)},
		{name: "DRAW_FILL with a pattern", body: clipped(append([]byte{2, 12: 0}, fill[wire.DrawBaseSize+6:]...)),
			want: wire.DrawFill{DrawBase: base, Clip: []wire.Rect{}, Rop: wire.RopPut}, parse: reads(wire.ParseDrawFill)},
		{name: "DRAW_COPY", body: wire.AppendDrawCopy(nil, base),
			want:  wire.DrawCopy{DrawBase: base, Image: wire.DrawCopyFixed, Source: wire.Rect{Bottom: 16, Right: 9}, Rop: wire.RopPut},
			parse: reads(wire.ParseDrawCopy)},
	}
	for i := range all {
		if all[i].need == 0 {
			all[i].need = len(all[i].body)
		}
	}
	return all
}

func TestBodies(t *testing.T) {
	t.Parallel()
	for _, f := range formats() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			got, err := f.parse(f.body)
			require.NoError(t, err)
			require.Equal(t, f.want, got)
			got, err = f.parse(f.body[:f.need])
			require.NoError(t, err)
			require.Equal(t, f.want, got)
			for n := range f.need {
				_, err := f.parse(f.body[:n])
				var e *wire.Error
				require.ErrorAs(t, err, &e, "the first %d bytes", n)
				require.GreaterOrEqual(t, e.Offset, 0)
				require.LessOrEqual(t, e.Offset, n)
				require.NotEmpty(t, e.What)
			}
		})
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		size int
		body []byte
	}{
		"PING":           {wire.PingSize, wire.Ping{}.Append(nil)},
		"main INIT":      {wire.InitSize, wire.Init{}.Append(nil)},
		"SURFACE_CREATE": {wire.SurfaceCreateSize, wire.SurfaceCreate{}.Append(nil)},
		"DRAW_COPY":      {wire.DrawCopyFixed, wire.AppendDrawCopy(nil, wire.DrawBase{})},
		"display INIT":   {wire.DisplayInitSize, wire.AppendDisplayInit(nil)},
		"KEY_DOWN":       {wire.KeySize, wire.AppendKey(nil, 1)},
		"MOUSE_MOTION":   {wire.MotionSize, wire.AppendMotion(nil, -1, 1, 0)},
		"MOUSE_POSITION": {wire.PositionSize, wire.AppendPosition(nil, 1, 1, 0)},
		"MOUSE_PRESS":    {wire.ButtonSize, wire.AppendButton(nil, wire.ButtonLeft, 1)},
		"header":         {wire.HeaderSize, wire.AppendHeader(nil, 1, 2)},
		"full header":    {wire.FullHeaderSize, wire.AppendFullHeader(nil, 1, 2, 3)},
	} {
		require.Len(t, x.body, x.size, name)
	}
	typ, size := wire.Header(wire.AppendHeader(nil, wire.MsgDisplayDrawCopy, 1<<20))
	require.Equal(t, wire.MsgDisplayDrawCopy, typ)
	require.EqualValues(t, 1<<20, size)
	typ, size = wire.FullHeader(wire.AppendFullHeader(nil, 1<<40, wire.MsgDisplayDrawCopy, 1<<20))
	require.Equal(t, wire.MsgDisplayDrawCopy, typ)
	require.EqualValues(t, 1<<20, size)
}

// TestNonsense: what no server sends gives an error that says where and what.
func TestNonsense(t *testing.T) {
	t.Parallel()
	fill := wire.AppendDrawFill(nil, wire.DrawBase{}, 1)
	drawing := func(tail ...byte) []byte { return append(fill[:wire.DrawBaseSize:wire.DrawBaseSize], tail...) }
	reply := wire.LinkReply{PubKey: make([]byte, wire.PubKeySize)}.Append(nil)[wire.LinkHeaderSize:]
	patched := func(b []byte, at int, with ...byte) []byte {
		b = bytes.Clone(b)
		copy(b[at:], with)
		return b
	}
	header := wire.LinkRequest{}.Append(nil)[:wire.LinkHeaderSize]
	destination := wire.Destination{Host: "a", Subject: "b"}.Append(nil)
	for _, x := range []struct {
		name   string
		body   []byte
		parse  func([]byte) (any, error)
		offset int
		what   string
	}{
		{"magic", patched(header, 0, []byte("HTTP")...), reads(wire.ParseLinkHeader), 0, "magic"},
		{"major version", patched(header, 4, 1), reads(wire.ParseLinkHeader), 4, "protocol version 1"},
		{"link size", patched(header, 12, 1, 16), reads(wire.ParseLinkHeader), 12, "4097 bytes"},
		{"capability words", patched(reply, 4+wire.PubKeySize, 0xff, 0xff, 0xff, 0xff), reads(wire.ParseLinkReply), 4 + wire.PubKeySize + 12, "4294967295"},
		{"capabilities elsewhere", patched(reply, 4+wire.PubKeySize+8, 0xff, 0xff, 0xff, 0xff), reads(wire.ParseLinkReply), 4 + wire.PubKeySize + 12, "offset 4294967295"},
		{"channels", []byte{0, 0, 0, 0x80}, reads(wire.ParseChannelsList), 4, "2147483648 channels"},
		{"waits", []byte{255}, reads(wire.ParseWaitForChannels), 1, "channel type"},
		{"text", patched(wire.Notify{}.Append(nil), 20, 0xff, 0xff, 0xff, 0xff), reads(wire.ParseNotify), 24, "longer than 65536"},
		{"text beyond the body", patched(wire.Notify{}.Append(nil), 20, 0xff, 0xff), reads(wire.ParseNotify), 24, "needs 65535"},
		{"no host", patched(destination, 8, 0, 0, 0, 0), reads(wire.ParseDestination), 24, "no host"},
		{"host elsewhere", patched(destination, 8, 0xff, 0xff, 0xff, 0xff), reads(wire.ParseDestination), 20, "offset 4294967295"},
		{"host too long", patched(destination, 4, 0xff, 0xff, 0xff, 0xff), reads(wire.ParseDestination), 20, "4294967295 bytes"},
		{"clip type", drawing(2), reads(wire.ParseDrawCopy), wire.DrawBaseSize + 1, "clip type 2"},
		{"clip rectangles", drawing(1, 0xff, 0xff, 0xff, 0xff), reads(wire.ParseDrawFill), wire.DrawBaseSize + 5, "4294967295 clip rectangles"},
		{"brush", drawing(0, 3), reads(wire.ParseDrawFill), wire.DrawBaseSize + 2, "brush type 3"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			_, err := x.parse(x.body)
			var e *wire.Error
			require.ErrorAs(t, err, &e)
			require.Contains(t, e.What, x.what)
			require.Equal(t, x.offset, e.Offset)
			require.Equal(t, fmt.Sprintf("at byte %d: %s", e.Offset, e.What), err.Error())
		})
	}
}

// TestClaimsAllocateNothing: what a body claims to hold costs nothing until it
// holds it. Not parallel: it reads the process's memory counter.
func TestClaimsAllocateNothing(t *testing.T) {
	const most = 8 << 10 // 255 waits, an error and its text
	claims := bytes.Repeat([]byte{0xff}, 64)
	for _, f := range formats() {
		// Counts and sizes stand wherever four bytes do.
		for at := 0; at+4 <= len(f.body); at++ {
			body := bytes.Clone(f.body)
			copy(body[at:at+4], claims)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			f.parse(body)
			runtime.ReadMemStats(&after)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(most), "%s, byte %d", f.name, at)
		}
	}
}

func TestChannelTypes(t *testing.T) {
	t.Parallel()
	for typ := range wire.ChannelType(20) {
		name := typ.String()
		got, err := wire.ParseChannelType(name)
		if name == fmt.Sprintf("channel type %d", uint8(typ)) {
			require.Error(t, err)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, typ, got)
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	require.Equal(t, "the server refused the link: bad connection id", wire.LinkBadConnectionID.Error())
	require.Equal(t, "the server refused the link with error 77", wire.LinkError(77).Error())
	require.Equal(t, "warning", wire.SeverityWarn.String())
	require.Equal(t, "severity 9", wire.Severity(9).String())
	require.True(t, wire.CapsOf(wire.CapMiniHeader).Has(wire.CapMiniHeader))
	require.False(t, wire.CapsOf(wire.CapMiniHeader).Has(wire.CapAuthSASL))
}

func TestRect(t *testing.T) {
	t.Parallel()
	const least, most = -1 << 31, 1<<31 - 1
	for _, x := range []struct {
		r                     wire.Rect
		width, height, pixels int
	}{
		{wire.Rect{}, 0, 0, 0},
		{wire.Rect{Top: 1, Left: 2, Bottom: 4, Right: 7}, 5, 3, 15},
		{wire.Rect{Top: 1, Left: 2, Bottom: 1, Right: 7}, 0, 0, 0},
		{wire.Rect{Top: 4, Left: 7, Bottom: 1, Right: 2}, 0, 0, 0},
		{wire.Rect{Top: least, Left: least, Bottom: most, Right: most}, 1<<32 - 1, 1<<32 - 1, 1 << 32},
	} {
		require.Equal(t, []int{x.width, x.height, x.pixels}, []int{x.r.Width(), x.r.Height(), x.r.Pixels()}, "%v", x.r)
		require.Equal(t, x.width == 0, x.r.Empty())
	}
	a := wire.Rect{Top: 0, Left: 0, Bottom: 10, Right: 10}
	require.Equal(t, wire.Rect{Top: 5, Left: 6, Bottom: 10, Right: 10}, a.Intersect(wire.Rect{Top: 5, Left: 6, Bottom: 50, Right: 60}))
	require.True(t, a.Intersect(wire.Rect{Top: 0, Left: 10, Bottom: 10, Right: 20}).Empty(), "neighbours share nothing")
}

func TestIsDraw(t *testing.T) {
	t.Parallel()
	for typ := range uint16(400) {
		want := typ == 104 || typ >= 302 && typ <= 313 || typ == 318
		require.Equal(t, want, wire.IsDraw(typ), typ)
	}
}

func TestFixedBodies(t *testing.T) {
	t.Parallel()
	require.Equal(t, []byte{1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xd0, 2, 0, 0, 0x90, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		wire.AppendMonitorsConfig(nil, 720, 400))
	require.Equal(t, []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0}, wire.AppendCursorInit(nil), "as QEMU sends it without a pointer")
}
