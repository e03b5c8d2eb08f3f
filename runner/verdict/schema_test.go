package verdict

import (
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/configfile"
)

// TestSchema: what Read takes the schema takes, and what the schema refuses Read refuses.
func TestSchema(t *testing.T) {
	c := jsonschema.NewCompiler()
	b, err := yaml.Marshal(Schema())
	require.NoError(t, err)
	text, err := yaml.YAMLToJSON(b)
	require.NoError(t, err)
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	require.NoError(t, err)
	require.NoError(t, c.AddResource("objectives.json", doc))
	schema, err := c.Compile("objectives.json")
	require.NoError(t, err)
	valid := func(text string) error {
		j, err := yaml.YAMLToJSON([]byte(text))
		require.NoError(t, err)
		instance, err := jsonschema.UnmarshalJSON(strings.NewReader(string(j)))
		require.NoError(t, err)
		return schema.Validate(instance)
	}
	require.NoError(t, valid(extension))
	for _, bad := range []string{
		"name: other", "objectives: []", "slo: 1", "objectives: [{at_most: 1%}]", "objectives: [{metric: m}]",
		"objectives: [{metric: m, percentile: 95}]", "objectives: [{metric: m, percentile: 95, below: 1s, at_most: 1%}]",
		"objectives: [{metric: m, at_most: 1}]", "objectives: [{metric: m, percentile: 100, below: 1s}]",
		"objectives: [{metric: m, at_most: 1%, per: user}]", "regression: {nights: 3}", "sites: {mode: maybe}", "window: {from: 5}",
	} {
		if !strings.HasPrefix(bad, "name") {
			bad = "name: deskstorm\n" + bad
		}
		require.Error(t, valid(bad), bad)
		r, root := configfile.Parse([]byte(bad), "f.yaml", "x")
		Read(r, root)
		require.Error(t, r.Err(), bad)
	}
}
