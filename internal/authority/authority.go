// Package authority reads the authorities that servers' certificates are checked with.
package authority

import (
	"crypto/x509"
	"fmt"
	"io"
	"os"
)

// maxSize is far above any bundle of authorities; it ends the reading of a device.
const maxSize = 4 << 20

// Read returns the certificates in a file, in PEM form; a file without any is an error.
func Read(path string) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	return pool, Add(pool, path)
}

// Add is Read into a pool.
func Add(pool *x509.CertPool, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("reading authorities' certificates: %w", err)
	}
	defer f.Close()
	pem, err := io.ReadAll(io.LimitReader(f, maxSize))
	if err != nil {
		return fmt.Errorf("reading authorities' certificates: %w", err)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return fmt.Errorf("reading authorities' certificates: %s has no certificate in PEM form", path)
	}
	return nil
}
