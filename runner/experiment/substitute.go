package experiment

import (
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// placeholder is what the toolkit substitutes: Python's string.Template. $$ is a dollar sign; a name that there is none of stays.
var placeholder = regexp.MustCompile(`\$(?:(\$)|([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})`)

// Substitute replaces ${name} in the texts of a value of JSON's types, keys left out. A text that is nothing else becomes the
// value itself, with its type. What is given is not changed.
func (v *Values) Substitute(value any) any {
	switch value := value.(type) {
	case string:
		return v.text(value)
	case []any:
		list := make([]any, len(value))
		for i, item := range value {
			list[i] = v.Substitute(item)
		}
		return list
	case map[string]any:
		mapping := make(map[string]any, len(value))
		for k, item := range value {
			mapping[k] = v.Substitute(item)
		}
		return mapping
	}
	return value
}

func (v *Values) text(text string) any {
	if m := placeholder.FindStringSubmatch(text); m != nil && m[0] == text && m[3] != "" {
		if value, ok := v.lookup(m[3]); ok {
			return value
		}
		return text
	}
	var b strings.Builder
	end := 0
	for _, m := range placeholder.FindAllStringSubmatchIndex(text, -1) {
		b.WriteString(text[end:m[0]])
		end = m[1]
		name := ""
		switch {
		case m[2] >= 0:
			b.WriteByte('$')
			continue
		case m[4] >= 0:
			name = text[m[4]:m[5]]
		default:
			name = text[m[6]:m[7]]
		}
		if value, ok := v.lookup(name); ok {
			b.WriteString(Text(value))
		} else {
			b.WriteString(text[m[0]:m[1]])
		}
	}
	return b.String() + text[end:]
}

// Text spells a value as the toolkit does in a text: Python's str(). Lists and mappings are JSON.
func Text(value any) string {
	switch v := value.(type) {
	case nil:
		return "None"
	case string:
		return v
	case bool:
		if v {
			return "True"
		}
		return "False"
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case uint64:
		return strconv.FormatUint(v, 10)
	case float64:
		if size := math.Abs(v); v == 0 || size >= 1e-4 && size < 1e16 {
			s := strconv.FormatFloat(v, 'f', -1, 64)
			if !strings.Contains(s, ".") {
				s += ".0"
			}
			return s
		}
		return strconv.FormatFloat(v, 'e', -1, 64)
	}
	b, err := json.Marshal(value)
	if err != nil {
		return ""
	}
	return string(b)
}
