package service

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]Version{"2.1": {2, 1}, "2.93": {2, 93}, "10.0": {10, 0}} {
		got, err := ParseVersion(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Equal(t, text, got.String())
	}
	for _, text := range []string{"", "2", "2.", ".1", "2.1.1", "2.-1", "2.01", "latest", "-2.1", "0.1", " 2.1"} {
		_, err := ParseVersion(text)
		require.ErrorIs(t, err, ErrVersion, text)
	}
}

func TestAtLeast(t *testing.T) {
	require.True(t, Version{2, 26}.AtLeast(Version{2, 26}))
	require.True(t, Version{3, 0}.AtLeast(Version{2, 26}))
	require.False(t, Version{2, 9}.AtLeast(Version{2, 26}))
	require.False(t, Version{1, 99}.AtLeast(Version{2, 26}))
}

func TestRequestedVersion(t *testing.T) {
	const older = "X-OpenStack-Nova-API-Version"
	for name, test := range map[string]struct {
		lines []string
		older string
		want  string
	}{
		"none":                 {nil, "", ""},
		"of the service":       {[]string{"compute 2.26"}, "", "2.26"},
		"of another":           {[]string{"volume 3.1"}, "", ""},
		"of several":           {[]string{"volume 3.1, compute 2.26"}, "", "2.26"},
		"on several lines":     {[]string{"volume 3.1", "Compute latest"}, "", "latest"},
		"older":                {nil, "2.3", "2.3"},
		"the newer goes first": {[]string{"compute 2.26"}, "2.3", "2.26"},
		"without a service":    {[]string{"2.26"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := http.Header{}
			for _, line := range test.lines {
				h.Add("OpenStack-API-Version", line)
			}
			if test.older != "" {
				h.Set(older, test.older)
			}
			require.Equal(t, test.want, RequestedVersion(h, "compute", older))
		})
	}
}
