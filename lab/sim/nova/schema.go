package nova

import (
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// rawJSON is a value of a request's body.
type rawJSON = json.RawMessage

// check looks at a value of a request's body, and says what is wrong with it in the words of Nova's JSON schemas
// (nova/api/validation/validators.py, nova/api/openstack/compute/schemas); nil is nothing.
type check func(rawJSON) *flaw

type flaw struct {
	field   string // the innermost; empty: the body itself
	value   rawJSON
	message string
	alone   bool // the message says it all
}

func (f *flaw) Error() string {
	if f.field == "" || f.alone {
		return f.message
	}
	return "Invalid input for field/attribute " + f.field + ". Value: " + pythonText(f.value) + ". " + f.message
}

// valid reads the request's body into v if it passes a check; else it answers 400.
func (c *call) valid(body check, v any) bool {
	var raw rawJSON
	return c.read(&raw) && c.passes("", raw, body, v)
}

// passes reads what is in a field into v if it passes a check; else it answers 400.
func (c *call) passes(field string, raw rawJSON, body check, v any) bool {
	if f := body(raw); f != nil {
		if f.field == "" {
			f.field, f.value = field, raw
		}
		c.fail(400, f.Error())
		return false
	}
	if err := json.Unmarshal(raw, v); err != nil {
		c.fail(400, "Malformed request body")
		return false
	}
	return true
}

type property struct {
	name string
	check
}

// object has these properties and no others.
func object(required []string, properties ...property) check {
	return func(raw rawJSON) *flaw {
		var fields map[string]rawJSON
		if kindOf(raw) != "object" || json.Unmarshal(raw, &fields) != nil {
			return ofType(raw, "object")
		}
		known := map[string]bool{}
		for _, p := range properties {
			known[p.name] = true
			if value, ok := fields[p.name]; ok {
				if f := p.check(value); f != nil {
					if f.field == "" {
						f.field, f.value = p.name, value
					}
					return f
				}
			}
		}
		for _, name := range required {
			if _, ok := fields[name]; !ok {
				return &flaw{message: "'" + name + "' is a required property"}
			}
		}
		var odd []string
		for name := range fields {
			if !known[name] {
				odd = append(odd, pythonString(name))
			}
		}
		slices.Sort(odd)
		switch len(odd) {
		case 0:
			return nil
		case 1:
			return &flaw{message: "Additional properties are not allowed (" + odd[0] + " was unexpected)"}
		}
		return &flaw{message: "Additional properties are not allowed (" + strings.Join(odd, ", ") + " were unexpected)"}
	}
}

const metadataKeys = `^[a-zA-Z0-9-_:. ]{1,255}$`

var metadataKey = regexp.MustCompile(metadataKeys)

// mapping has the keys of metadata.
func mapping(value check, limits ...check) check {
	return func(raw rawJSON) *flaw {
		var fields map[string]rawJSON
		if kindOf(raw) != "object" || json.Unmarshal(raw, &fields) != nil {
			return ofType(raw, "object")
		}
		var odd []string
		for _, key := range slices.Sorted(keysOf(fields)) {
			if !metadataKey.MatchString(key) {
				odd = append(odd, pythonString(key))
				continue
			}
			if f := value(fields[key]); f != nil {
				if f.field == "" {
					f.field, f.value = key, fields[key]
				}
				return f
			}
		}
		switch len(odd) {
		case 0:
		case 1:
			return &flaw{message: odd[0] + " does not match any of the regexes: '" + metadataKeys + "'"}
		default:
			return &flaw{message: strings.Join(odd, ", ") + " do not match any of the regexes: '" + metadataKeys + "'"}
		}
		return all(limits...)(raw)
	}
}

func keysOf[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for key := range m {
			if !yield(key) {
				return
			}
		}
	}
}

// oneItem is a mapping of exactly one.
func oneItem(raw rawJSON) *flaw {
	var fields map[string]rawJSON
	_ = json.Unmarshal(raw, &fields)
	switch {
	case len(fields) < 1:
		return &flaw{message: python(raw) + " does not have enough properties"}
	case len(fields) > 1:
		return &flaw{message: python(raw) + " has too many properties"}
	}
	return nil
}

// array has items that pass a check; most is how many, if not 0.
func array(item check, most int) check {
	return func(raw rawJSON) *flaw {
		var items []rawJSON
		if kindOf(raw) != "array" || json.Unmarshal(raw, &items) != nil {
			return ofType(raw, "array")
		}
		for i, value := range items {
			if f := item(value); f != nil {
				if f.field == "" {
					f.field, f.value = fmt.Sprint(i), value
				}
				return f
			}
		}
		if most > 0 && len(items) > most {
			return &flaw{message: python(raw) + " is too long"}
		}
		return nil
	}
}

func all(checks ...check) check {
	return func(raw rawJSON) *flaw {
		for _, c := range checks {
			if f := c(raw); f != nil {
				return f
			}
		}
		return nil
	}
}

func anything(rawJSON) *flaw { return nil }

// orNull passes null, too.
func orNull(c check, kind string) check {
	return func(raw rawJSON) *flaw {
		switch kindOf(raw) {
		case "null":
			return nil
		case kind:
			return c(raw)
		}
		return ofType(raw, kind, "null")
	}
}

// text has so many characters.
func text(least, most int) check {
	return func(raw rawJSON) *flaw {
		if kindOf(raw) != "string" {
			return ofType(raw, "string")
		}
		switch n := utf8.RuneCountInString(stringOf(raw)); {
		case n < least:
			return &flaw{message: python(raw) + " is too short"}
		case n > most:
			return &flaw{message: python(raw) + " is too long"}
		}
		return nil
	}
}

// matching is a text that matches a pattern.
func matching(p string) check {
	re := regexp.MustCompile(p)
	return func(raw rawJSON) *flaw {
		if kindOf(raw) == "string" && !re.MatchString(stringOf(raw)) {
			return &flaw{message: python(raw) + " does not match '" + p + "'"}
		}
		return nil
	}
}

// maxInt is the largest integer of Nova's database (nova/db/constants.py).
const maxInt = 0x7FFFFFFF

// integer is a number, or a text of one, from least to most.
func integer(least, most int64) check {
	form := `^[0-9]*$`
	if least < 0 {
		form = `^-?[0-9]+$`
	}
	return all(func(raw rawJSON) *flaw {
		if k := kindOf(raw); k != "integer" && k != "string" {
			return ofType(raw, "integer", "string")
		}
		return nil
	}, matching(form), func(raw rawJSON) *flaw {
		n, ok := new(big.Int).SetString(stringOf(raw), 10)
		switch {
		case !ok:
			return &flaw{message: python(raw) + " is too short"}
		case n.Cmp(big.NewInt(least)) < 0:
			return &flaw{message: fmt.Sprintf("%s is less than the minimum of %d", n, least)}
		case n.Cmp(big.NewInt(most)) > 0:
			return &flaw{message: fmt.Sprintf("%s is greater than the maximum of %d", n, most)}
		}
		return nil
	})
}

func oneOf(words ...string) check {
	return func(raw rawJSON) *flaw {
		if kindOf(raw) != "string" {
			return ofType(raw, "string")
		}
		if !slices.Contains(words, stringOf(raw)) {
			return &flaw{message: python(raw) + " is not one of " + pythonList(words)}
		}
		return nil
	}
}

// boolWords are parameter_types.boolean's.
var boolWords = []string{
	"True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes",
	"False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no",
}

func boolean(raw rawJSON) *flaw {
	switch kindOf(raw) {
	case "boolean":
		return nil
	case "string":
		if slices.Contains(boolWords, stringOf(raw)) {
			return nil
		}
		words := make([]string, len(boolWords))
		for i, w := range boolWords {
			words[i] = pythonString(w)
		}
		return &flaw{message: python(raw) + " is not one of [True, " + strings.Join(words[:10], ", ") + ", False, " +
			strings.Join(words[10:], ", ") + "]"}
	}
	return ofType(raw, "boolean", "string")
}

func uuidFormat(raw rawJSON) *flaw {
	if kindOf(raw) != "string" {
		return ofType(raw, "string")
	}
	if _, err := uuid.Parse(stringOf(raw)); err != nil {
		return &flaw{message: python(raw) + " is not a 'uuid'"}
	}
	return nil
}

// properName is the format of names: no spaces at its ends, nothing that cannot be printed, and none of the characters in but.
func properName(but, reason string) check {
	return all(text(1, 255), func(raw rawJSON) *flaw {
		s := stringOf(raw)
		bad := strings.TrimSpace(s) != s || strings.ContainsAny(s, but) ||
			strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) })
		if bad {
			return &flaw{alone: true, message: "An invalid 'name' value was provided. The name must be: " + reason}
		}
		return nil
	})
}

var (
	name     = properName("", "printable characters. Can not start or end with whitespace.")
	zoneName = properName(":", "printable characters except :.Can not start or end with whitespace.")
	hostName = all(text(1, 255), matching(`^[a-zA-Z0-9-._]*$`))
	// serverHostname is what a server may be told to call itself.
	serverHostname = all(text(2, 63), matching(`^[a-zA-Z0-9]+[a-zA-Z0-9-]*[a-zA-Z0-9]+$`))
	anyText        = text(0, maxInt)
	metadataItems  = mapping(text(0, 255))
)

// kindOf is the type of a JSON value in JSON schema's words.
func kindOf(raw rawJSON) string {
	s := strings.TrimSpace(string(raw))
	switch {
	case s == "":
		return "null"
	case s[0] == '{':
		return "object"
	case s[0] == '[':
		return "array"
	case s[0] == '"':
		return "string"
	case s == "true", s == "false":
		return "boolean"
	case s == "null":
		return "null"
	case strings.ContainsAny(s, ".eE"):
		return "number"
	}
	return "integer"
}

func ofType(raw rawJSON, kinds ...string) *flaw {
	quoted := make([]string, len(kinds))
	for i, k := range kinds {
		quoted[i] = "'" + k + "'"
	}
	return &flaw{message: python(raw) + " is not of type " + strings.Join(quoted, ", ")}
}

// stringOf is a text, or a number as it is written.
func stringOf(raw rawJSON) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return strings.TrimSpace(string(raw))
}

// number is a whole number that may be given as a text.
type number int

func (n *number) UnmarshalJSON(raw []byte) error {
	_, err := fmt.Sscan(stringOf(raw), (*int)(n))
	return err
}

// flag is a yes or no that may be given as a text.
type flag bool

func (f *flag) UnmarshalJSON(raw []byte) error {
	*f = flag(slices.Contains(boolWords[:10], stringOf(raw)))
	return nil
}
