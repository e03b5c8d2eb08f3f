package spice

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/spice/wire"
)

// patience is how long one input may take.
const patience = 5 * time.Second

// within fails if f takes longer than patience.
func within(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		panic("hangs") // with all goroutines' stacks
	}
}

// Probes that look while a channel is read.
const (
	nobodyLooks = iota
	learning
	following
	lookers
)

// FuzzChannel reads a channel from a hostile server, with and without a probe
// that looks at pixels. Seeds are whole streams recorded from QEMU.
func FuzzChannel(f *testing.F) {
	for _, session := range []string{"", "-migration"} {
		for t := wire.Main; t <= wire.Cursor; t++ {
			b := recordedStream(f, t.String()+session)
			for looker := range uint8(lookers) {
				if looker == nobodyLooks || t == wire.Display {
					f.Add(uint8(t), looker, b)
				}
			}
		}
	}
	wait := msg(wire.MsgWaitForChannels, wire.AppendWaitForChannels(nil, []wire.Wait{{Channel: wire.ChannelID{Type: wire.Inputs}, Serial: 1}}))
	f.Add(uint8(wire.Display), uint8(learning), sent(wait, msg(wire.MsgDisplayDrawFill, clipped(wire.Rect{Bottom: 9, Right: 9}, wire.Rect{Bottom: 2, Right: 2}))))
	f.Fuzz(func(t *testing.T, typ, looker uint8, b []byte) {
		s := unlinked()
		s.finished() // so that waits for other channels end
		rec := newRecorder()
		switch looker % lookers {
		case learning:
			s.screen.watcher.Store(rec.watcher())
		case following:
			box := wire.Rect{Top: 16, Left: 9, Bottom: 32, Right: 18}
			e := &echo{box: box, shown: make([]uint32, box.Pixels()), hidden: make([]uint32, box.Pixels()), now: make([]uint32, box.Pixels())}
			s.screen.watcher.Store(e.watch(true))
		}
		c, handle := s.over(max(wire.Main, wire.ChannelType(typ)%(wire.Cursor+1)), streamOf(b))
		drawings := uint64(len(b) / (wire.HeaderSize + wire.DrawBaseSize))
		var err error
		start := time.Now()
		asked := allocated(func() { within(t, func() { err = c.run(handle) }) })
		require.Error(t, err)
		// One drawing at a time: its body, clip and pixels (doc.go).
		require.LessOrEqual(t, asked, 1<<20+(drawings+1)*3*maxDrawing+uint64(len(b))*100)
		var p *ProtocolError
		if errors.As(err, &p) {
			require.Equal(t, c.id, p.Channel)
			require.GreaterOrEqual(t, p.Offset, 0)
			require.NotEmpty(t, p.What)
		}
		middle := start.Add(time.Since(start) / 2)
		within(t, func() {
			learnEcho(rec.taken(), []look{{shown: true, settled: start, ends: middle}, {settled: middle, ends: time.Now()}})
		})
	})
}

// FuzzLink is the link phase with a hostile server: its reply, and its verdict
// on the ticket.
func FuzzLink(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("wire", "testdata", "qemu", "link-reply-*.bin"))
	require.NoError(f, err)
	require.NotEmpty(f, files)
	for _, name := range files {
		body, err := os.ReadFile(name)
		require.NoError(f, err)
		header := wire.LinkReply{PubKey: make([]byte, wire.PubKeySize)}.Append(nil)[:wire.LinkHeaderSize]
		header[12] = byte(len(body))
		for verdict := range byte(10) {
			f.Add(append(append(header[:wire.LinkHeaderSize:wire.LinkHeaderSize], body...), verdict, 0, 0, 0))
		}
	}
	f.Add(wire.LinkReply{Error: wire.LinkNeedSecured}.Append(nil))
	const secret = "a-ticket-of-42"
	f.Fuzz(func(t *testing.T, b []byte) {
		conn := streamOf(b)
		within(t, func() {
			reply, err := exchangeLink(conn, wire.LinkRequest{Channel: wire.ChannelID{Type: wire.Main}, Common: commonCaps})
			if err == nil {
				err = sendTicket(conn, reply, secret)
			}
			if err != nil {
				require.NotContains(t, fmt.Sprintf("%v %+v", err, err), secret)
			}
		})
	})
}
