package config_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker/config"
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
		secret config.Secret
		want   string
		err    string
	}{
		{name: "file", secret: config.Secret{File: file("plain", "hunter2")}, want: "hunter2"},
		{name: "newline", secret: config.Secret{File: file("newline", "hunter2\n")}, want: "hunter2"},
		{name: "newline of Windows", secret: config.Secret{File: file("crlf", "hunter2\r\n")}, want: "hunter2"},
		{name: "one newline only", secret: config.Secret{File: file("two", " hunter2 \n\n")}, want: " hunter2 \n"},
		{name: "environment, as it is", secret: config.Secret{Env: "DESKSTORM_TEST_SECRET"}, want: "hunter2\n"},
		{name: "no file", secret: config.Secret{File: filepath.Join(dir, "none")}, err: "no such file"},
		{name: "empty file", secret: config.Secret{File: file("empty", "\n")}, err: "empty is empty; write the secret into it"},
		{name: "directory", secret: config.Secret{File: dir}, err: "is a directory"},
		{name: "device without an end", secret: config.Secret{File: "/dev/zero"}, err: "more than 1048576 bytes"},
		{name: "no variable", secret: config.Secret{Env: "DESKSTORM_TEST_UNSET"}, err: "DESKSTORM_TEST_UNSET is not set"},
		{name: "empty variable", secret: config.Secret{Env: "DESKSTORM_TEST_EMPTY"}, err: "DESKSTORM_TEST_EMPTY is empty"},
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
	require.False(t, config.Secret{}.Given())
}

func TestSecretErrorNamesItsKey(t *testing.T) {
	c, err := config.Parse([]byte(strings.Replace(minimal, "file: token", "env: DESKSTORM_TEST_UNSET", 1)), "dir/broker.yaml")
	require.NoError(t, err)
	_, err = c.OperatorToken.Read()
	require.EqualError(t, err, "reading the secret operator_token (dir/broker.yaml:2): "+
		"the environment variable DESKSTORM_TEST_UNSET is not set")
}

// TestSecretIsNotShown prints a whole configuration in all ways after its secrets were read.
func TestSecretIsNotShown(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "token"), []byte("hunter2"), 0o600))
	c, err := config.Parse([]byte(minimal), filepath.Join(dir, "broker.yaml"))
	require.NoError(t, err)
	value, err := c.OperatorToken.Read()
	require.NoError(t, err)
	require.Equal(t, "hunter2", value)
	asJSON, err := json.Marshal(c.OperatorToken)
	require.NoError(t, err)
	for _, text := range []string{
		fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c), fmt.Sprintf("%q", c.OperatorToken), string(asJSON),
	} {
		require.NotContains(t, text, "hunter2")
		require.Contains(t, text, "token")
	}
	require.Equal(t, "in the configuration", c.Database.String())
	require.Equal(t, "config.Secret(environment variable X)", fmt.Sprintf("%#v", config.Secret{Env: "X"}))
	require.Equal(t, "none", config.Secret{}.String())
}
