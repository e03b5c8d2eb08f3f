package screen

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"sync"
)

// host is what desktops share.
type host struct {
	clock clock
	key   func() (linkKey, error) // made when first asked for
}

// linkKey is the RSA key that clients encrypt tickets with. Its 1,024 bits are
// the protocol's (SPICE_TICKET_KEY_PAIR_LENGTH in protocol.h).
type linkKey struct {
	private *rsa.PrivateKey
	public  []byte // DER SubjectPublicKeyInfo
}

func newHost(newAlarm func() alarm) *host {
	return &host{
		clock: clock{newAlarm: newAlarm},
		key:   sync.OnceValues(newLinkKey),
	}
}

func newLinkKey() (linkKey, error) {
	private, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		return linkKey{}, fmt.Errorf("making the link's RSA key: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		return linkKey{}, fmt.Errorf("encoding the link's RSA key: %w", err)
	}
	return linkKey{private, public}, nil
}
