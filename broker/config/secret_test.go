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
}
