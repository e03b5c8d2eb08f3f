package experiment

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/deskstorm/deskstorm/runner/native"
)

// object is a part of a JSON schema.
type object = map[string]any

// Schema returns a JSON schema (2020-12) of experiments, for editors: with the native functions of the table and their
// arguments. A file that it lets pass may still have mistakes that only Load finds, such as a name in ${} that there is none
// of. Extensions are the schemas of the file's extensions that are known, by their names.
func Schema(table []native.Function, extensions map[string]map[string]any) []byte {
	list := func(items object) object { return object{"type": "array", "items": items} }
	schema := mappingOf(object{
		"version":                 described(text(), "of the format; 1.0.0"),
		"title":                   text(),
		"description":             text(),
		"tags":                    list(text()),
		"contributions":           contributionsSchema(),
		"configuration":           named(ref("configuration")),
		"secrets":                 object{"type": "object", "additionalProperties": named(ref("secret"))},
		"runtime":                 runtimeSchema(),
		"steady-state-hypothesis": object{"anyOf": []any{object{"type": "null"}, hypothesisSchema()}},
		"method":                  list(ref("activity")),
		"rollbacks":               list(ref("activity")),
		"extensions":              list(extensionSchema(extensions)),
	}, "title", "description", "method")
	schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	schema["title"] = "deskstorm experiment"
	schema["$defs"] = object{
		"configuration":     sourceSchema(false),
		"secret":            sourceSchema(true),
		"seconds":           seconds(),
		"substitution":      substitution(),
		"activity":          activitySchema(),
		"hypothesisProbe":   hypothesisProbeSchema(),
		"tolerance":         toleranceSchema(),
		"probeProvider":     providerSchema(table, Probe, false),
		"actionProvider":    providerSchema(table, Action, false),
		"toleranceProvider": providerSchema(table, Probe, true),
		"http":              httpSchema(),
		"process":           processSchema(),
	}
	b, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		panic(err) // only literals are in it
	}
	return append(b, '\n')
}

func ref(name string) object { return object{"$ref": "#/$defs/" + name} }

func text() object { return object{"type": "string", "minLength": 1} }

func described(o object, description string) object {
	o = maps.Clone(o)
	o["description"] = description
	return o
}

func seconds() object {
	return object{"type": "number", "minimum": 0, "maximum": longest.Seconds(), "description": "seconds"}
}

func substitution() object {
	return object{"type": "string", "pattern": `^\$\{[A-Za-z_][A-Za-z0-9_]*\}$`, "description": "a name in configuration or secrets"}
}

func mappingOf(properties object, required ...string) object {
	o := object{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		o["required"] = required
	}
	return o
}

// named is a mapping of names that can stand in ${}.
func named(value object) object {
	return object{"type": "object", "propertyNames": object{"pattern": name.String()}, "additionalProperties": value}
}

// when is the schema then of values whose key has the word.
func when(key, word string, then object) object {
	return object{
		"if":   object{"type": "object", "properties": object{key: object{"const": word}}, "required": []string{key}},
		"then": then,
	}
}

func constant(word string) object { return object{"const": word} }

func contributionsSchema() object {
	return object{"type": "object", "additionalProperties": object{"enum": []string{"high", "medium", "low", "none"}}}
}

func runtimeSchema() object {
	return mappingOf(object{
		"hypothesis": mappingOf(object{
			"strategy": object{"enum": []HypothesisStrategy{HypothesisDefault, HypothesisBefore, HypothesisAfter, HypothesisDuring,
				HypothesisContinuously, HypothesisSkip}},
			"frequency": described(ref("seconds"), "seconds between two checks during the method; 1 if absent; deskstorm's"),
			"fail_fast": object{"type": "boolean", "description": "end the method when the hypothesis does not hold; deskstorm's"},
			"fail_fast_ratio": object{"type": "number", "minimum": 0, "maximum": 100,
				"description": "the percentage of checks that must have failed for that; 0 if absent; deskstorm's"},
		}),
		"rollbacks": mappingOf(object{
			"strategy": object{"enum": []RollbackStrategy{RollbackDefault, RollbackAlways, RollbackNever, RollbackDeviated}},
		}),
	})
}

// sourceSchema is of a configuration's or a secret's value: itself, or where it is.
func sourceSchema(secret bool) object {
	env := object{"type": constant("env"), "key": object{"type": "string", "pattern": name.String()}}
	if !secret {
		env["default"] = true
		env["env_var_type"] = object{"enum": []string{"str", "string", "int", "integer", "float", "number", "bool", "json"}}
	}
	return object{
		"if": object{"type": "object", "required": []string{"type"}},
		"then": object{"oneOf": []any{
			mappingOf(env, "type", "key"),
			mappingOf(object{"type": constant("file"), "path": text()}, "type", "path"),
		}},
	}
}

func hypothesisSchema() object {
	return mappingOf(object{
		"title":  text(),
		"probes": object{"type": "array", "items": ref("hypothesisProbe")},
	}, "title")
}

func hypothesisProbeSchema() object {
	return object{
		"if":   object{"type": "object", "required": []string{"ref"}},
		"then": mappingOf(object{"ref": text(), "tolerance": ref("tolerance")}, "ref", "tolerance"),
		"else": mappingOf(object{
			"type": constant(string(Probe)), "name": text(), "pauses": pausesSchema(), "tolerance": ref("tolerance"),
			"provider": ref("probeProvider"),
		}, "type", "name", "tolerance", "provider"),
	}
}

func activitySchema() object {
	activity := mappingOf(object{
		"type": object{"enum": []Kind{Probe, Action}}, "name": text(), "pauses": pausesSchema(), "background": object{"type": "boolean"},
		"provider":  object{"type": "object"},
		"tolerance": described(ref("tolerance"), "of a probe of the method, the verdict judges it; the run goes on whatever it is"),
	}, "type", "name", "provider")
	activity["allOf"] = []any{
		when("type", string(Probe), object{"properties": object{"provider": ref("probeProvider")}}),
		when("type", string(Action), object{"properties": object{"provider": ref("actionProvider")}}),
	}
	return object{
		"if":   object{"type": "object", "required": []string{"ref"}},
		"then": mappingOf(object{"ref": text(), "background": object{"type": "boolean"}}, "ref"),
		"else": activity,
	}
}

func pausesSchema() object {
	pause := object{"anyOf": []any{ref("seconds"), ref("substitution")}}
	return mappingOf(object{"before": pause, "after": pause})
}

func toleranceSchema() object {
	target := described(text(), "the key of the probe's value that is judged, such as body or stdout; the value itself if absent")
	number := object{"type": "number"}
	return object{
		"type": []string{"string", "integer", "boolean", "array", "object"},
		"if":   object{"type": "array"}, "then": object{"minItems": 1},
		"else": object{
			"if": object{"type": "object"},
			"then": object{
				"required": []string{"type"},
				"properties": object{"type": object{
					"enum": []ToleranceType{ToleranceRegex, ToleranceJSONPath, ToleranceRange, ToleranceProbe},
				}},
				"allOf": []any{
					when("type", string(ToleranceRegex),
						mappingOf(object{"type": true, "target": target, "pattern": text()}, "pattern")),
					when("type", string(ToleranceJSONPath), mappingOf(object{
						"type": true, "target": target, "path": text(), "count": object{"type": "integer", "minimum": 0}, "expect": true,
					}, "path")),
					when("type", string(ToleranceRange), mappingOf(object{
						"type": true, "target": target, "range": object{"type": "array", "items": number, "minItems": 2, "maxItems": 2},
					}, "range")),
					when("type", string(ToleranceProbe), mappingOf(object{
						"type": true, "name": text(), "provider": ref("toleranceProvider"),
					}, "name", "provider")),
				},
			},
		},
	}
}

func providerSchema(table []native.Function, kind Kind, judges bool) object {
	http, process := ref("http"), ref("process")
	if judges {
		arguments := object{"properties": object{"arguments": object{"type": "object"}}}
		http, process = object{"allOf": []any{http, arguments}}, object{"allOf": []any{process, arguments}}
	}
	return object{
		"type": "object", "required": []string{"type"},
		"properties": object{"type": object{"enum": []string{"http", "process", "deskstorm"}}},
		"allOf": []any{
			when("type", "http", http),
			when("type", "process", process),
			when("type", "deskstorm", nativeSchema(table, kind, judges)),
		},
	}
}

func groupsSchema() object { return object{"type": "array", "items": text()} }

func httpSchema() object {
	timeout := ref("seconds")
	return mappingOf(object{
		"type":    true,
		"secrets": groupsSchema(),
		"url":     text(),
		"method":  object{"type": "string", "pattern": "^[A-Za-z]+$", "description": "GET if absent"},
		"headers": object{"type": "object", "additionalProperties": object{"type": []string{"string", "number", "boolean"}}},
		"arguments": object{"description": "of a GET, the query; otherwise JSON if the header Content-Type is application/json, else a " +
			"form; a text is sent as it is"},
		"expected_status": object{"type": "integer", "minimum": 100, "maximum": 599, "description": "any if absent"},
		"timeout": object{
			"description": "seconds, or [to connect, to read]; none if absent",
			"anyOf": []any{timeout, ref("substitution"),
				object{"type": "array", "items": timeout, "minItems": 2, "maxItems": 2}},
		},
		"verify_tls": object{"type": "boolean", "description": "true if absent"},
		"max_retries": object{"type": "integer", "minimum": 0, "maximum": 100,
			"description": "while the server does not answer; 0 if absent"},
	}, "url")
}

func processSchema() object {
	scalar := object{"type": []string{"string", "number", "boolean", "null"}}
	return mappingOf(object{
		"type":    true,
		"secrets": groupsSchema(),
		"path":    described(text(), "the program"),
		"arguments": object{"anyOf": []any{
			object{"type": "string", "description": "a shell reads it"},
			object{"type": "array", "items": scalar},
			object{"type": "object", "description": "names and values in turn"},
		}},
		"timeout": described(ref("seconds"), "seconds until the process is killed; none if absent"),
	}, "path")
}

// nativeSchema is of the provider deskstorm. Where judges is set, the argument "value" comes with the call.
func nativeSchema(table []native.Function, kind Kind, judges bool) object {
	names := []string{}
	cases := []any{}
	for _, f := range table {
		if f.Kind != kind {
			continue
		}
		names = append(names, f.Name)
		properties := object{}
		required := []string{}
		for _, p := range f.Parameters {
			properties[p.Name] = parameterSchema(p)
			if p.Required && (!judges || p.Name != "value") {
				required = append(required, p.Name)
			}
		}
		then := object{"description": f.Doc, "properties": object{"arguments": mappingOf(properties, required...)}}
		if len(required) > 0 {
			then["required"] = []string{"arguments"}
		}
		cases = append(cases, when("func", f.Name, then))
	}
	slices.Sort(names)
	o := mappingOf(object{
		"type": true, "secrets": groupsSchema(), "func": object{"enum": names}, "arguments": object{"type": "object"},
	}, "func")
	if len(cases) > 0 {
		o["allOf"] = cases
	}
	return o
}

func parameterSchema(p native.Parameter) object {
	var o object
	switch p.Type {
	case native.Text:
		o = object{"type": "string"}
		if len(p.OneOf) > 0 {
			o = object{"enum": p.OneOf}
		}
	case native.Integer:
		o = object{"type": "integer"}
	case native.Number:
		o = object{"type": "number"}
	case native.Boolean:
		o = object{"type": "boolean"}
	case native.Duration:
		o = object{"anyOf": []any{
			ref("seconds"),
			object{"type": "string", "pattern": `^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)` +
				`(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))*$|^0$`},
		}}
	case native.List:
		o = object{"type": "array", "items": object{"type": "string"}}
	case native.Mapping:
		o = object{"type": "object"}
	}
	return object{
		"description": strings.TrimSpace(p.Doc),
		"anyOf":       []any{o, object{"type": "string", "pattern": `\$\{`}},
	}
}

// extensionSchema is that of one extension: a known one is as its schema says, another one is anything with a name.
func extensionSchema(known map[string]map[string]any) object {
	schema := object{"type": "object", "properties": object{"name": text()}, "required": []string{"name"}}
	var rules []any
	for _, name := range slices.Sorted(maps.Keys(known)) {
		rules = append(rules, object{"if": object{"properties": object{"name": object{"const": name}}}, "then": known[name]})
	}
	if rules != nil {
		schema["allOf"] = rules
	}
	return schema
}
