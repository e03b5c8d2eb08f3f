package configfile_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/configfile"
)

func TestPath(t *testing.T) {
	for text, want := range map[string]string{"ca.pem": "/etc/deskstorm/ca.pem", "/a/b": "/a/b", "a~": "/etc/deskstorm/a~", "~/ca.pem": ""} {
		r, n := configfile.Parse([]byte("path: "+text), "/etc/deskstorm/x.yaml", "the test's file")
		var path string
		r.Mapping(n, configfile.Keys{"path": r.Path(&path)})
		require.Equal(t, want, path)
		if want == "" {
			require.ErrorContains(t, r.Err(), "x.yaml:1:7: path: expected a path without ~")
		} else {
			require.NoError(t, r.Err())
		}
	}
}
