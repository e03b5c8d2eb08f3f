package experiment

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/deskstorm/deskstorm/internal/configfile"
)

// Values are an experiment's configuration and secrets after their sources were read.
type Values struct {
	scopes []map[string]any // configuration, then the secrets' groups, in the order in which a name is looked up
	secrets
}

// Resolve reads environment variables and files that configuration and secrets come from. getenv is os.LookupEnv. The error joins
// all that are missing, each with its line; it never holds a value.
func (e *Experiment) Resolve(getenv func(string) (string, bool)) (*Values, error) {
	var errs []error
	read := func(what string, v Value) any {
		value, err := v.read(getenv)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %s: %w", e.File, v.Line, what, err))
		}
		return value
	}
	configuration := map[string]any{}
	for name, v := range e.Configuration {
		configuration[name] = read("configuration "+name, v)
	}
	values := &Values{scopes: []map[string]any{configuration}}
	for _, group := range e.Secrets {
		scope := map[string]any{}
		for name, v := range group.Values {
			scope[name] = read("secret "+group.Name+"."+name, v)
			values.secrets.add(scope[name])
		}
		values.scopes = append(values.scopes, scope)
	}
	if len(errs) > 0 {
		slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
		return nil, errors.Join(errs...)
	}
	values.secrets.compile()
	return values, nil
}

// Fingerprint is the same for runs that do the same: of the same hypothesis, method, rollbacks and runtime, with the same
// configuration. Titles, objectives and secrets are not in it.
func (e *Experiment) Fingerprint(v *Values) (string, error) {
	var source map[string]json.RawMessage
	if err := json.Unmarshal(e.Source, &source); err != nil {
		return "", fmt.Errorf("reading the experiment's source again: %w", err)
	}
	done := map[string]any{"configuration": v.scopes[0]}
	for _, part := range []string{"steady-state-hypothesis", "method", "rollbacks", "runtime"} {
		done[part] = source[part]
	}
	text, err := json.Marshal(done)
	if err != nil {
		return "", fmt.Errorf("writing what the experiment does: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8]), nil
}

func (v Value) read(getenv func(string) (string, bool)) (any, error) {
	switch {
	case v.Env != "":
		text, ok := getenv(v.Env)
		if !ok && v.Optional {
			return v.converted(v.Default)
		}
		if !ok {
			return nil, fmt.Errorf("the environment variable %s is not set; set it, or give a default", v.Env)
		}
		value, err := v.converted(text)
		if err != nil {
			return nil, fmt.Errorf("the environment variable %s: %w", v.Env, err)
		}
		return value, nil
	case v.Path != "":
		return configfile.Secret{File: v.Path}.Read()
	}
	return v.Static, nil
}

// converted is the toolkit's env_var_type. Errors do not show the value.
func (v Value) converted(value any) (any, error) {
	text, ok := value.(string)
	if !ok && v.Type != "str" && v.Type != "" {
		return value, nil // a default with a type of its own
	}
	switch v.Type {
	case "int", "integer":
		n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		if err != nil {
			return nil, errors.New("expected a whole number, found another text")
		}
		return n, nil
	case "float", "number":
		n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return nil, errors.New("expected a number, found another text")
		}
		return n, nil
	case "bool":
		return !slices.Contains([]string{"false", "0", "no"}, strings.ToLower(text)), nil
	case "json":
		if text == "" {
			return "", nil
		}
		value, err := DecodeJSON([]byte(text))
		if err != nil {
			return nil, errors.New("expected JSON, found another text")
		}
		return value, nil
	}
	return value, nil
}

// DecodeJSON decodes one JSON value and keeps whole numbers whole: they are int64, others float64, and those that are too large for it
// texts.
func DecodeJSON(data []byte) (any, error) {
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return nil, err
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON value")
	}
	return numbers(value), nil
}

func numbers(value any) any {
	switch v := value.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		n, err := v.Float64()
		if err != nil {
			return v.String()
		}
		return n
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	}
	return value
}

func (v *Values) lookup(name string) (any, bool) {
	for _, scope := range v.scopes {
		if value, ok := scope[name]; ok {
			return value, true
		}
	}
	return nil, false
}

// Empty says whether there is nothing to substitute.
func (v *Values) Empty() bool {
	for _, scope := range v.scopes {
		if len(scope) > 0 {
			return false
		}
	}
	return true
}
