package service

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadJSON(t *testing.T) {
	for name, test := range map[string]struct {
		body string
		ok   bool
	}{
		"a value": {`{"a":1}`, true},
		"empty":   {``, false},
		"cut":     {`{"a"`, false},
		"two":     {`{} {}`, false},
		"large":   {`"` + strings.Repeat("x", maxBody) + `"`, false},
	} {
		t.Run(name, func(t *testing.T) {
			var v any
			err := ReadJSON(httptest.NewRequest("POST", "/", strings.NewReader(test.body)), &v)
			require.Equal(t, test.ok, err == nil, err)
		})
	}
}
