package authority_test

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/authority"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
)

func TestRead(t *testing.T) {
	files, pem := qemutest.TLSFiles(t)
	pool, err := authority.Read(filepath.Join(files.Dir, "ca-cert.pem"))
	require.NoError(t, err)
	want := x509.NewCertPool()
	require.True(t, want.AppendCertsFromPEM(pem))
	require.True(t, want.Equal(pool))

	empty := filepath.Join(t.TempDir(), "empty.pem")
	require.NoError(t, os.WriteFile(empty, []byte("nothing"), 0o600))
	for path, says := range map[string]string{
		empty: empty + " has no certificate in PEM form", "/no/such.pem": "/no/such.pem: no such file", "/dev/zero": "/dev/zero has no certificate",
	} {
		_, err := authority.Read(path)
		require.ErrorContains(t, err, says)
	}
}
