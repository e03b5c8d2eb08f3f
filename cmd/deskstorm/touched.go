package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/deskstorm/deskstorm/runner/fault"
	"github.com/deskstorm/deskstorm/runner/record"
)

// showTouched prints what the native actions that a dry run has left out would touch.
func showTouched(out io.Writer, run record.Run) error {
	var text strings.Builder
	for _, a := range run.Activities {
		var plan map[string]json.RawMessage
		if a.Kind != "action" || json.Unmarshal(a.Output, &plan) != nil || len(plan) == 0 {
			continue // it would not say, or it was run
		}
		fmt.Fprintf(&text, "  %s\n", a.Name)
		var touches fault.Touches
		if json.Unmarshal(plan["touches"], &touches) != nil {
			fmt.Fprintf(&text, "    %s\n", planWords(plan))
			continue
		}
		fmt.Fprintf(&text, "    %s\n    at %s", touches.What, strings.Join(touches.Targets, ", "))
		var lasts string
		if json.Unmarshal(plan["for"], &lasts) == nil {
			fmt.Fprintf(&text, ", for %s at most", lasts)
		}
		text.WriteByte('\n')
		if len(touches.Hosts) > 0 {
			fmt.Fprintf(&text, "    hosts: %s\n", strings.Join(touches.Hosts, ", "))
		}
		if len(touches.Desktops) > 0 {
			fmt.Fprintf(&text, "    desktops: %s\n", strings.Join(touches.Desktops, ", "))
		}
	}
	if text.Len() == 0 {
		return nil
	}
	_, err := fmt.Fprintf(out, "it would touch:\n%s\n", text.String())
	return err
}

// planWords are a plan that is no fault's: "flavor desktop.small, makes 2".
func planWords(plan map[string]json.RawMessage) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(plan)) {
		value := string(plan[name])
		var text string
		var list []string
		switch {
		case json.Unmarshal(plan[name], &text) == nil:
			value = text
		case json.Unmarshal(plan[name], &list) == nil:
			value = strings.Join(list, ", ")
		}
		words = append(words, strings.ReplaceAll(name, "_", " ")+" "+value)
	}
	return strings.Join(words, "; ")
}
