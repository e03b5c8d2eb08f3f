package verdict

// object is a part of a JSON schema.
type object = map[string]any

// Schema returns the JSON schema (2020-12) of an experiment's extension "deskstorm", for editors. It needs no definitions besides
// itself. What it lets pass may still have mistakes that only Read finds.
func Schema() map[string]any {
	s := sectionsSchema()
	s["properties"].(object)["name"] = object{"const": ExtensionName}
	s["required"] = []string{"name"}
	return s
}

// DefaultsSchema returns the JSON schema of the section verdict of deskstorm.yaml.
func DefaultsSchema() map[string]any { return sectionsSchema() }

func sectionsSchema() object {
	text := object{"type": "string", "minLength": 1}
	about := func(o object, description string) object {
		c := object{"description": description}
		for k, v := range o {
			c[k] = v
		}
		return c
	}
	duration := object{"type": "string", "pattern": `^([0-9]+(\.[0-9]+)?(us|µs|ms|s|m|h))+$`}
	share := object{"type": "string", "pattern": `^[0-9]+(\.[0-9]+)? *%$`}
	one := func(words ...string) object { return object{"enum": words} }
	mapping := func(properties object, required ...string) object {
		o := object{"type": "object", "properties": properties, "additionalProperties": false}
		if len(required) > 0 {
			o["required"] = required
		}
		return o
	}
	window := mapping(object{
		"from":   about(duration, "since the load began: a ramp is left out"),
		"until":  about(duration, "since the load began"),
		"faults": about(one("include", "exclude", "only"), "whether the time of faults counts; include"),
		"settle": about(duration, "how long after its end a fault is taken to be there; 0s"),
	})
	mode := about(one("judge", "tell", "off"), "judge: what is found is a deviation; tell: it is noted")
	objective := mapping(object{
		"name":        text,
		"metric":      about(object{"type": "string", "pattern": `^[a-zA-Z_][a-zA-Z0-9_]{0,127}$`}, "a trend or a rate"),
		"step":        text,
		"site":        text,
		"path":        text,
		"profile":     text,
		"per":         object{"anyOf": []any{one("site", "step"), object{"type": "array", "items": one("site", "step"), "minItems": 1}}},
		"percentile":  object{"type": "number", "exclusiveMinimum": 0, "maximum": 99.999},
		"below":       about(duration, "the percentile's limit"),
		"at_most":     about(share, "the share that may fail"),
		"min_samples": object{"type": "integer", "minimum": 1},
		"window":      window,
	}, "metric")
	objective["oneOf"] = []any{
		object{"required": []string{"percentile", "below"}, "not": object{"required": []string{"at_most"}}},
		object{"required": []string{"at_most"}, "not": object{"anyOf": []any{
			object{"required": []string{"percentile"}}, object{"required": []string{"below"}},
		}}},
	}
	return mapping(object{
		"window":     about(window, "which part of the load is the steady state"),
		"objectives": object{"type": "array", "items": objective, "minItems": 1},
		"regression": about(mapping(object{
			"mode": mode, "nights": object{"type": "integer", "minimum": minNights, "maximum": 60},
			"at_least": about(share, "how much worse counts; 10 %"), "false_alarms": about(share, "of nights; 2 %"),
		}), "against the last nights"),
		"sites": about(mapping(object{
			"mode": mode, "at_least": about(share, "how much worse counts; 50 %"),
			"except": object{"type": "array", "items": text, "minItems": 1},
		}), "each site against the others of the night"),
		"harness": about(mapping(object{
			"dropped": about(share, "of the iterations that were due; 1 %"), "cpu": about(share, "of the machine; 85 %"),
			"clock_jump": about(duration, "1s"),
		}), "beyond these there is no verdict"),
	})
}
