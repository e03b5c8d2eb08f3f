package experiment_test

import (
	"bytes"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/runner/experiment"
)

func TestSchema(t *testing.T) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(experiment.Schema(table, nil)))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	require.NoError(t, compiler.AddResource("experiment.json", document))
	schema, err := compiler.Compile("experiment.json")
	require.NoError(t, err)
	validate := func(t *testing.T, text string) error {
		raw, err := yaml.YAMLToJSON([]byte(text))
		require.NoError(t, err)
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
		require.NoError(t, err)
		return schema.Validate(value)
	}
	require.NoError(t, validate(t, whole))
	require.NoError(t, validate(t, "title: a\ndescription: b\nsteady-state-hypothesis:\nmethod: []\n"))
	check := func(name, text string, unseen bool) {
		t.Run(name, func(t *testing.T) {
			if !unseen {
				require.Error(t, validate(t, invalid(text)))
			}
		})
	}
	for _, m := range mistakes {
		check(m.name, m.text, m.unseen)
	}
	for _, m := range tolerances() {
		check(m.name, m.text, m.unseen)
	}
}
