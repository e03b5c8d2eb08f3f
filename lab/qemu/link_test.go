package qemu_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Link errors of spice-protocol's error_codes.h.
const (
	linkOK           = 0
	needSecured      = 5
	permissionDenied = 7
)

// link links to a server's main channel with the ticket, as far as the server's answer to it, and returns that. It is the
// least of a client: package spice has a whole one, which is tested against this package.
func link(t *testing.T, conn net.Conn, ticket string) uint32 {
	t.Helper()
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	le := binary.LittleEndian

	request := []byte("REDQ")
	request = le.AppendUint32(request, 2)
	request = le.AppendUint32(request, 2)
	request = le.AppendUint32(request, 18) // size of what follows
	request = le.AppendUint32(request, 0)  // no connection yet
	request = append(request, 1, 0)        // main channel
	request = le.AppendUint32(request, 0)  // no common capabilities
	request = le.AppendUint32(request, 0)  // no channel's capabilities
	request = le.AppendUint32(request, 18) // where they would be
	_, err := conn.Write(request)
	require.NoError(t, err)

	header := make([]byte, 16)
	_, err = io.ReadFull(conn, header)
	require.NoError(t, err)
	require.Equal(t, "REDQ", string(header[:4]))
	size := le.Uint32(header[12:])
	require.Less(t, size, uint32(4096))
	reply := make([]byte, size)
	_, err = io.ReadFull(conn, reply)
	require.NoError(t, err)
	if refused := le.Uint32(reply); refused != linkOK {
		return refused
	}

	key, err := x509.ParsePKIXPublicKey(reply[4:166])
	require.NoError(t, err)
	password, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, key.(*rsa.PublicKey), append([]byte(ticket), 0), nil)
	require.NoError(t, err)
	_, err = conn.Write(password)
	require.NoError(t, err)
	var result uint32
	require.NoError(t, binary.Read(conn, le, &result))
	return result
}

func dial(t *testing.T, host string, port int) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(host, strconv.Itoa(port)), 5*time.Second)
	require.NoError(t, err)
	return conn
}
