package nova

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// maxQuoted bounds what of a client's value is said again in an answer, in bytes.
const maxQuoted = 1000

// pythonText is a JSON value as Python's str() writes it, which Nova's messages do.
func pythonText(raw rawJSON) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return shorten(s)
	}
	return python(raw)
}

// python is a JSON value as Python's repr() writes it.
func python(raw rawJSON) string {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var b strings.Builder
	writePython(&b, d)
	return shorten(b.String())
}

func writePython(b *strings.Builder, d *json.Decoder) {
	token, err := d.Token()
	if err != nil {
		b.WriteString("None")
		return
	}
	switch v := token.(type) {
	case json.Delim:
		b.WriteRune(rune(v))
		for i := 0; d.More(); i++ {
			if i > 0 {
				b.WriteString(", ")
			}
			if v == '{' {
				writePython(b, d)
				b.WriteString(": ")
			}
			writePython(b, d)
		}
		end, _ := d.Token()
		if end, ok := end.(json.Delim); ok {
			b.WriteRune(rune(end))
		}
	case string:
		b.WriteString(pythonString(v))
	case json.Number:
		b.WriteString(v.String())
	case bool:
		b.WriteString(map[bool]string{true: "True", false: "False"}[v])
	default:
		b.WriteString("None")
	}
}

// pythonString prefers single quotes.
func pythonString(s string) string {
	inner := strconv.Quote(s)
	inner = strings.ReplaceAll(inner[1:len(inner)-1], `\"`, `"`)
	if strings.Contains(s, "'") {
		if !strings.Contains(s, `"`) {
			return `"` + inner + `"`
		}
		inner = strings.ReplaceAll(inner, "'", `\'`)
	}
	return "'" + inner + "'"
}

func pythonList(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = pythonString(w)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

func shorten(s string) string {
	if len(s) <= maxQuoted {
		return s
	}
	return strings.ToValidUTF8(s[:maxQuoted], "") + "..."
}
