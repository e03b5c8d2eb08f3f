package engine_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/runner/experiment"
)

// The real toolkit substitutes and spells the same.
func TestSubstitutionConformance(t *testing.T) {
	program := chaos(t)
	const names = `{"text": "a b", "n": 12, "f": 0.5, "whole": 3.0, "tiny": 1e-7, "huge": 1.5e300, "yes": true, "none": null, "list": [1, "x"],
		"_u9": "u", "Text": "other", "empty": "", "dollar": "$text"}`
	texts := []any{
		"${text}", "$text", "x${text}y", "${n}", "${n} ", "$n", "${f}/${whole}/${tiny}/${huge}", "${whole}", "${yes}", "is ${yes}", "${none}", "is ${none}",
		"${list}", "$$", "$$text", "$${text}", "${unknown}", "$unknown ${text}", "$", "$ {text}", "${}", "${text", "${te xt}", "${9}", "$9", "$_u9!",
		"${Text}${text}", "${empty}", "a${empty}b", "${dollar}", "$.a[*]", "$.text", "$text.a", "^a$", "", "über ${text}", "${ünicode}", "$ünicode",
		[]any{"${text}", 5, []any{"$n"}, map[string]any{"${text}": "${n}", "k": nil}},
		map[string]any{"a": map[string]any{"b": "${list}"}},
	}
	input, err := json.Marshal(map[string]any{"names": json.RawMessage(names), "texts": texts})
	require.NoError(t, err)
	const script = `
import json, sys
from chaoslib import substitute
q = json.load(sys.stdin)
json.dump([substitute(t, q["names"], {}) for t in q["texts"]], sys.stdout)
`
	cmd := exec.CommandContext(t.Context(), filepath.Join(filepath.Dir(program), "python"), "-c", script)
	cmd.Stdin = bytes.NewReader(input)
	output, err := cmd.Output()
	require.NoError(t, err)
	want, err := experiment.DecodeJSON(output)
	require.NoError(t, err)

	e := &experiment.Experiment{Configuration: map[string]experiment.Value{}}
	decoded, err := experiment.DecodeJSON([]byte(names))
	require.NoError(t, err)
	for name, value := range decoded.(map[string]any) {
		e.Configuration[name] = experiment.Value{Static: value}
	}
	values, err := e.Resolve(nil)
	require.NoError(t, err)
	for i, text := range texts {
		got, err := json.Marshal(values.Substitute(text))
		require.NoError(t, err)
		wanted, err := json.Marshal(want.([]any)[i])
		require.NoError(t, err)
		require.JSONEq(t, string(wanted), string(got), "%v", text)
	}
}
