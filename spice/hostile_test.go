package spice

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/spice/wire"
)

// hostile is a server that completes every link and then sends, on each
// channel, what it was given.
type hostile struct {
	net.Listener
	key   []byte
	send  map[wire.ChannelType][]byte
	stays bool        // keeps the connections open afterwards
	deaf  atomic.Bool // accepts no more, but holds what it has accepted
	// linked is called on each link's end, before anything is sent.
	linked func(t wire.ChannelType)
	open   sync.WaitGroup
}

func serveHostile(t *testing.T, key []byte, send map[wire.ChannelType][]byte, stays bool) *hostile {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	h := &hostile{Listener: l, key: key, send: send, stays: stays}
	ctx, cancel := context.WithCancel(context.Background())
	h.open.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			h.open.Go(func() {
				defer context.AfterFunc(ctx, func() { conn.Close() })()
				defer conn.Close()
				h.serve(ctx, conn)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		cancel()
		h.open.Wait()
	})
	return h
}

func (h *hostile) config() Config {
	return Config{Host: "127.0.0.1", Port: h.Addr().(*net.TCPAddr).Port, Ticket: "x"}
}

func (h *hostile) serve(ctx context.Context, conn net.Conn) {
	if h.deaf.Load() {
		<-ctx.Done()
		return
	}
	in := make([]byte, wire.LinkHeaderSize+26+4+wire.TicketSize)
	if _, err := io.ReadFull(conn, in[:wire.LinkHeaderSize+26]); err != nil {
		return
	}
	req, err := wire.ParseLinkRequest(in[wire.LinkHeaderSize:][:26])
	if err != nil {
		return
	}
	conn.Write(wire.LinkReply{PubKey: h.key, Common: commonCaps, Caps: ^wire.Caps(0)}.Append(nil))
	if _, err := io.ReadFull(conn, in[:4+wire.TicketSize]); err != nil {
		return
	}
	if h.linked != nil {
		h.linked(req.Channel.Type)
	}
	conn.Write(append(make([]byte, 4), h.send[req.Channel.Type]...))
	if h.stays {
		io.Copy(io.Discard, conn)
	}
}

func publicKey(t *testing.T) []byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	require.NoError(t, err)
	return der
}

// recordedSession is what QEMU sent on all channels of a session.
func recordedSession(t *testing.T) map[wire.ChannelType][]byte {
	all := map[wire.ChannelType][]byte{}
	for c := wire.Main; c <= wire.Cursor; c++ {
		all[c] = recordedStream(t, c.String())
	}
	return all
}

// mutate changes a stream a little.
func mutate(r *mathrand.Rand, b []byte) []byte {
	b = bytes.Clone(b)
	messages := messagesOf(b)
	switch r.IntN(6) {
	case 0: // bits
		for range 1 + r.IntN(8) {
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		}
	case 1: // the end is missing
		b = b[:r.IntN(len(b))]
	case 2: // a message again
		m := messages[r.IntN(len(messages))]
		b = append(b, m...)
	case 3: // another order
		r.Shuffle(len(messages), func(i, j int) { messages[i], messages[j] = messages[j], messages[i] })
		b = bytes.Join(messages, nil)
	case 4: // a size
		m := messages[r.IntN(len(messages))]
		binary.LittleEndian.PutUint32(m[2:], r.Uint32()>>r.IntN(32))
	case 5: // a type
		m := messages[r.IntN(len(messages))]
		binary.LittleEndian.PutUint16(m, uint16(r.IntN(330)))
	}
	return b
}

// TestHostileServer: whatever a server sends, a connect ends within its
// context, and a session with its connections.
func TestHostileServer(t *testing.T) {
	t.Parallel()
	const deadline = 2 * time.Second
	trials := 200
	if testing.Short() {
		trials = 40
	}
	key, recorded := publicKey(t), recordedSession(t)
	var all sync.WaitGroup
	turns := make(chan struct{}, 16)
	var dialed atomic.Int32
	for i := range trials {
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			r := mathrand.New(mathrand.NewPCG(7, uint64(i)))
			send := map[wire.ChannelType][]byte{}
			for c, b := range recorded {
				send[c] = b
			}
			for range 1 + r.IntN(2) {
				c := wire.Main + wire.ChannelType(r.IntN(4))
				send[c] = mutate(r, send[c])
			}
			stays := r.IntN(3) == 0
			h := serveHostile(t, key, send, stays)
			ctx, cancel := context.WithTimeout(context.Background(), deadline)
			defer cancel()
			start := time.Now()
			s, err := Dial(ctx, h.config())
			if took := time.Since(start); took > deadline+time.Second {
				t.Errorf("trial %d: the connect took %v", i, took)
			}
			if err != nil {
				return
			}
			dialed.Add(1)
			if stays { // and the session may live
				s.RoundTrip(ctx, VisibleTrip)
				s.Close()
			}
			select {
			case <-s.Done():
			case <-time.After(causeTimeout + 2*time.Second):
				t.Errorf("trial %d: the session goes on without connections", i)
			}
			if s.Err() == nil {
				t.Errorf("trial %d: ended for no reason", i)
			}
		})
	}
	all.Wait()
	require.NotZero(t, dialed.Load(), "the mutations are too wild to tell anything")
	t.Logf("%d of %d connects succeeded", dialed.Load(), trials)
}

// TestServerEndsAsChannelsOpen: a server that gives up main while the others
// are being opened leaves nothing open here.
func TestServerEndsAsChannelsOpen(t *testing.T) {
	t.Parallel()
	key := publicKey(t)
	for i := range 10 {
		h := serveHostile(t, key, recordedSession(t), true)
		cut := make(chan struct{})
		main := make(chan net.Conn, 1)
		h.linked = func(c wire.ChannelType) {
			if c == wire.Inputs {
				(<-main).Close()
				time.Sleep(time.Duration(i) * time.Millisecond)
				close(cut)
			}
		}
		var mu sync.Mutex
		var conns []*watched
		c := h.config()
		c.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			var d net.Dialer
			conn, err := d.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			mu.Lock()
			defer mu.Unlock()
			if len(conns) == 0 {
				main <- conn
			}
			w := &watched{Conn: conn, closed: make(chan struct{})}
			conns = append(conns, w)
			return w, nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		s, err := Dial(ctx, c)
		cancel()
		if err == nil { // the picture was faster
			<-s.Done()
		}
		<-cut
		mu.Lock()
		for n, w := range conns {
			select {
			case <-w.closed:
			case <-time.After(5 * time.Second):
				t.Errorf("connection %d of %d is still open", n+1, len(conns))
			}
		}
		mu.Unlock()
	}
}

// watched is a connection that tells when it is closed.
type watched struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (w *watched) Close() error {
	w.once.Do(func() { close(w.closed) })
	return w.Conn.Close()
}

// TestDialKeepsItsDeadlineWhileTheCauseIsAsked: a server that cuts main and
// then answers nobody does not hold a connect beyond its context.
func TestDialKeepsItsDeadlineWhileTheCauseIsAsked(t *testing.T) {
	t.Parallel()
	h := serveHostile(t, publicKey(t), nil, false) // closes main at once
	h.linked = func(wire.ChannelType) { h.deaf.Store(true) }
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := Dial(ctx, h.config())
	require.Error(t, err)
	require.Less(t, time.Since(start), causeTimeout/2, fmt.Sprint(err))
}
