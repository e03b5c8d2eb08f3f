package configfile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/configfile"
)

func TestSecretRead(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
		return path
	}
	t.Setenv("DESKSTORM_TEST_SECRET", "hunter2\n")
	t.Setenv("DESKSTORM_TEST_EMPTY", "")
	for _, test := range []struct {
		name   string
		secret configfile.Secret
		want   string
		err    string
	}{
		{name: "file", secret: configfile.Secret{File: file("plain", "hunter2")}, want: "hunter2"},
		{name: "newline", secret: configfile.Secret{File: file("newline", "hunter2\n")}, want: "hunter2"},
		{name: "newline of Windows", secret: configfile.Secret{File: file("crlf", "hunter2\r\n")}, want: "hunter2"},
		{name: "one newline only", secret: configfile.Secret{File: file("two", " hunter2 \n\n")}, want: " hunter2 \n"},
		{name: "environment, as it is", secret: configfile.Secret{Env: "DESKSTORM_TEST_SECRET"}, want: "hunter2\n"},
		{name: "no file", secret: configfile.Secret{File: filepath.Join(dir, "none")}, err: "no such file"},
		{name: "empty file", secret: configfile.Secret{File: file("empty", "\n")}, err: "empty is empty; write the secret into it"},
		{name: "directory", secret: configfile.Secret{File: dir}, err: "is a directory"},
		{name: "device without an end", secret: configfile.Secret{File: "/dev/zero"}, err: "more than 1048576 bytes"},
		{name: "no variable", secret: configfile.Secret{Env: "DESKSTORM_TEST_UNSET"}, err: "DESKSTORM_TEST_UNSET is not set"},
		{name: "empty variable", secret: configfile.Secret{Env: "DESKSTORM_TEST_EMPTY"}, err: "DESKSTORM_TEST_EMPTY is empty"},
		{name: "none", err: "reading a secret: none is given"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.secret.Read()
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.want, got)
			require.True(t, test.secret.Given())
		})
	}
	require.False(t, configfile.Secret{}.Given())
	require.Equal(t, "configfile.Secret(environment variable X)", fmt.Sprintf("%#v", configfile.Secret{Env: "X"}))
	require.Equal(t, "none", configfile.Secret{}.String())
}
