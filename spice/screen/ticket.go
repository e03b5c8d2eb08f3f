package screen

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha1" // by SPICE's definition
	"crypto/sha256"
	"crypto/subtle"
	"time"
)

// ticket is the password of a desktop; the zero value is none.
type ticket struct {
	password string
	expires  time.Time // zero: never
}

// admits tells whether what a client encrypted is the ticket.
func (t ticket) admits(key *rsa.PrivateKey, encrypted []byte, now time.Time) bool {
	if t.password == "" {
		return true
	}
	plain, err := rsa.DecryptOAEP(sha1.New(), nil, key, encrypted, nil)
	if err != nil {
		return false
	}
	if end := bytes.IndexByte(plain, 0); end >= 0 {
		plain = plain[:end]
	}
	// Hashes make the comparison's time tell nothing of the length either.
	got, want := sha256.Sum256(plain), sha256.Sum256([]byte(t.password))
	right := subtle.ConstantTimeCompare(got[:], want[:]) == 1
	return right && (t.expires.IsZero() || now.Before(t.expires))
}
