package screen

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/spice/wire"
)

func TestLinkIsRefusedBeforeTheTicket(t *testing.T) {
	good := func() []byte {
		return wire.LinkRequest{Channel: wire.ChannelID{Type: wire.Main}, Common: testCommon}.Append(nil)
	}
	change := func(at int, v byte) []byte {
		b := good()
		b[at] = v
		return b
	}
	for name, c := range map[string]struct {
		sent []byte
		want wire.LinkError
	}{
		"not SPICE":       {change(0, 'X'), wire.LinkInvalidMagic},
		"version 3":       {change(4, 3), wire.LinkVersionMismatch},
		"too long":        {change(14, 1), wire.LinkInvalidData},
		"too short":       {change(12, 17), wire.LinkInvalidData},
		"many caps":       {change(wire.LinkHeaderSize+8, 1), wire.LinkInvalidData},
		"caps outside":    {change(wire.LinkHeaderSize+15, 1), wire.LinkInvalidData},
		"plain in secure": {wire.LinkRequest{Channel: wire.ChannelID{Type: wire.Inputs}, Common: testCommon}.Append(nil), wire.LinkNeedSecured},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesktop(Config{Secure: []wire.ChannelType{wire.Inputs}}, testHost(newAlarm))
			conn := pipeTo(t, d)()
			go func() { _, _ = conn.Write(c.sent) }()
			// A pipe's other end takes no more than it wants.
			require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
			reply, err := readReply(conn)
			require.NoError(t, err)
			require.Equal(t, c.want, reply.Error)
			_, err = conn.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF)
		})
	}
}

func TestUnknownAuthIsRefused(t *testing.T) {
	conn := pipeTo(t, newDesktop(Config{}, testHost(newAlarm)))()
	_, err := conn.Write(wire.LinkRequest{Channel: wire.ChannelID{Type: wire.Main}, Common: testCommon}.Append(nil))
	require.NoError(t, err)
	reply, err := readReply(conn)
	require.NoError(t, err)
	require.Equal(t, wire.LinkOK, reply.Error)
	require.Equal(t, testCommon, reply.Common)
	_, err = conn.Write(binary.LittleEndian.AppendUint32(nil, 2))
	require.NoError(t, err)
	reply, err = readReply(conn)
	require.NoError(t, err)
	require.Equal(t, wire.LinkInvalidData, reply.Error)
}

func TestTicket(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		ticket  string
		expires time.Time
		sent    string
		common  wire.Caps
		want    wire.LinkError
	}{
		"none wanted":       {"", time.Time{}, "whatever", testCommon, wire.LinkOK},
		"right":             {"geheim", time.Time{}, "geheim", testCommon, wire.LinkOK},
		"right in time":     {"geheim", now.Add(time.Hour), "geheim", testCommon, wire.LinkOK},
		"no auth selection": {"geheim", time.Time{}, "geheim", wire.CapsOf(wire.CapMiniHeader), wire.LinkOK},
		"longest":           {string(make60('x')), time.Time{}, string(make60('x')), testCommon, wire.LinkOK},
		"wrong":             {"geheim", time.Time{}, "geheim2", testCommon, wire.LinkPermissionDenied},
		"shorter":           {"geheim", time.Time{}, "gehei", testCommon, wire.LinkPermissionDenied},
		"missing":           {"geheim", time.Time{}, "", testCommon, wire.LinkPermissionDenied},
		"expired":           {"geheim", now.Add(-time.Second), "geheim", testCommon, wire.LinkPermissionDenied},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesktop(Config{Ticket: c.ticket, Expires: c.expires}, testHost(newAlarm))
			conn := pipeTo(t, d)()
			_, result, err := tryLink(conn, wire.LinkRequest{Channel: wire.ChannelID{Type: wire.Main}, Common: c.common}, c.sent)
			require.NoError(t, err)
			require.Equal(t, c.want, result)
			if c.want != wire.LinkOK {
				_, err = conn.Read(make([]byte, 1))
				require.ErrorIs(t, err, io.EOF)
				require.Zero(t, d.Stats())
			}
		})
	}
}

func make60(c byte) []byte {
	b := make([]byte, wire.MaxTicket)
	for i := range b {
		b[i] = c
	}
	return b
}

func TestTicketIsSetWhileRunning(t *testing.T) {
	d := newDesktop(Config{}, testHost(newAlarm))
	dial := tcpTo(t, d)
	connect(t, dial, "")
	d.SetTicket("geheim", time.Time{})
	req := wire.LinkRequest{Channel: wire.ChannelID{Type: wire.Main}, Common: testCommon}
	_, result, err := tryLink(dial(), req, "")
	require.NoError(t, err)
	require.Equal(t, wire.LinkPermissionDenied, result)
	require.Equal(t, 1, d.Stats().Clients, "a wrong ticket evicts nobody")
	connect(t, dial, "geheim")
}

func TestOtherChannelsNeedASession(t *testing.T) {
	d := newDesktop(Config{}, testHost(newAlarm))
	dial := tcpTo(t, d)
	client := connect(t, dial, "")
	for name, c := range map[string]struct {
		id      uint32
		channel wire.ChannelID
		want    wire.LinkError
	}{
		"unknown session": {client.id + 1, wire.ChannelID{Type: wire.Cursor}, wire.LinkBadConnectionID},
		"no session":      {0, wire.ChannelID{Type: wire.Cursor}, wire.LinkBadConnectionID},
		"not offered":     {client.id, wire.ChannelID{Type: wire.Playback}, wire.LinkChannelNotAvailable},
		"second display":  {client.id, wire.ChannelID{Type: wire.Display, ID: 1}, wire.LinkChannelNotAvailable},
		"duplicate":       {client.id, wire.ChannelID{Type: wire.Inputs}, wire.LinkOK},
	} {
		t.Run(name, func(t *testing.T) {
			conn := dial()
			_, result, err := tryLink(conn, wire.LinkRequest{ConnectionID: c.id, Channel: c.channel, Common: testCommon}, "")
			require.NoError(t, err)
			require.Equal(t, c.want, result)
			_, err = conn.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF)
		})
	}
}

func TestSlowLinkIsDropped(t *testing.T) {
	for name, sent := range map[string][]byte{
		"nothing":     nil,
		"half header": []byte("REDQ"),
		"no ticket":   wire.LinkRequest{Channel: wire.ChannelID{Type: wire.Main}, Common: testCommon}.Append(nil),
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, Config{}, func(t *testing.T, d *Desktop, dial dialer) {
				conn := dial()
				began := time.Now()
				go func() { _, _ = conn.Write(sent) }()
				_, _ = io.Copy(io.Discard, conn)
				require.Equal(t, linkTime, time.Since(began))
			})
		})
	}
}

func TestDisplayWithoutInitIsDropped(t *testing.T) {
	inFakeTime(t, Config{}, func(t *testing.T, d *Desktop, dial dialer) {
		main := openChannel(t, dial, 0, wire.Main, "")
		init, err := wire.ParseInit(main.expect(wire.MsgMainInit).body)
		require.NoError(t, err)
		display := openChannel(t, dial, init.SessionID, wire.Display, "")
		began := time.Now()
		display.closed()
		require.Equal(t, silence, time.Since(began))
		require.Equal(t, 1, d.Stats().Clients, "main stays")
	})
}

func TestTLS(t *testing.T) {
	f, err := NewFarm(1, Config{TLS: selfSigned(t), Secure: []wire.ChannelType{wire.Main, wire.Inputs}})
	require.NoError(t, err)
	defer f.Close()
	d := f.Desktops()[0]

	plain, err := net.Dial("tcp", d.Addr().String())
	require.NoError(t, err)
	defer func() { _ = plain.Close() }()
	reply, _, err := tryLink(plain, wire.LinkRequest{Channel: wire.ChannelID{Type: wire.Main}, Common: testCommon}, "")
	require.NoError(t, err)
	require.Equal(t, wire.LinkNeedSecured, reply.Error)

	dial := func() net.Conn {
		conn, err := tls.Dial("tcp", d.TLSAddr().String(), &tls.Config{InsecureSkipVerify: true})
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	main := openChannel(t, dial, 0, wire.Main, "")
	init, err := wire.ParseInit(main.expect(wire.MsgMainInit).body)
	require.NoError(t, err)
	inputs := openChannel(t, dial, init.SessionID, wire.Inputs, "")
	inputs.expect(wire.MsgInputsInit)
	main.send(wire.MsgcMainAttachChannels, nil)
	main.expect(wire.MsgMainChannelsList) // and no NOTIFY before it
}

func TestServeTLSNeedsAConfiguration(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	require.Error(t, New(Config{}).ServeTLS(t.Context(), l))
	_, err = l.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
}

func selfSigned(t *testing.T) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}
