package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// maxPlanned is how many lines an action of a dry run gets: a plan has fewer, and the journal has all.
const maxPlanned = 30

// planned are lines that say what an action would have done, from what it answered in a dry run: a mapping (native.Function's Plan).
func planned(output json.RawMessage) []string {
	var plan map[string]json.RawMessage
	if json.Unmarshal(output, &plan) != nil {
		return nil
	}
	var lines []string
	add := func(key string) {
		value, ok := plan[key]
		delete(plan, key)
		if !ok || slices.Contains([]string{"{}", "[]", "null", `""`}, string(value)) {
			return
		}
		each := []json.RawMessage{value}
		if bytes.HasPrefix(value, []byte("[")) {
			_ = json.Unmarshal(value, &each) // it was valid JSON a moment ago
		}
		for _, v := range each {
			lines = append(lines, fmt.Sprintf("%-8s %s", key, v))
		}
	}
	for _, key := range append([]string{"fault", "touches", "for", "apply", "undo"}, slices.Sorted(maps.Keys(plan))...) {
		add(key)
	}
	if more := len(lines) - maxPlanned; more > 0 {
		lines = append(lines[:maxPlanned], fmt.Sprintf("... and %d more lines; journal.json has all", more))
	}
	return lines
}
