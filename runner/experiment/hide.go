package experiment

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// secrets are the texts that nobody may see.
type secrets struct {
	texts   []string
	spelled *regexp.Regexp    // those of usual length, as they may be spelled in an address or in JSON
	long    *strings.Replacer // the others, as they are
}

// usual is the length in bytes of secrets that are looked for in other spellings, too. A longer one is a file.
const usual = 4096

// add notes all texts of a secret of JSON's types.
func (s *secrets) add(value any) {
	switch value := value.(type) {
	case string:
		if strings.TrimSpace(value) != "" {
			s.texts = append(s.texts, value, strings.TrimSpace(value))
		}
	case map[string]any:
		for _, item := range value {
			s.add(item)
		}
	case []any:
		for _, item := range value {
			s.add(item)
		}
	case int64, uint64, float64:
		s.texts = append(s.texts, Text(value))
	}
}

// compile is called when all are known. Longer ones come first: one that is a part of another must not leave the rest of it.
func (s *secrets) compile() {
	slices.SortFunc(s.texts, func(a, b string) int { return len(b) - len(a) })
	var patterns, pairs []string
	for _, text := range slices.Compact(s.texts) {
		if len(text) > usual {
			pairs = append(pairs, text, Hidden)
			continue
		}
		var b strings.Builder
		for _, c := range text {
			b.WriteString(spellings(c))
		}
		patterns = append(patterns, b.String())
	}
	s.long = strings.NewReplacer(pairs...)
	if len(patterns) > 0 {
		s.spelled = regexp.MustCompile(strings.Join(patterns, "|"))
	}
}

// spellings is a pattern of how a character may be written: as it is, in an address, in JSON, and in JSON that is in JSON.
func spellings(c rune) string {
	var percent strings.Builder
	for _, b := range []byte(string(c)) {
		fmt.Fprintf(&percent, "%%%02x", b)
	}
	all := []string{regexp.QuoteMeta(string(c)), "(?i:" + percent.String() + ")"}
	if c <= 0xffff {
		all = append(all, fmt.Sprintf(`\\+(?i:u%04x)`, c))
	}
	switch c {
	case ' ':
		all = append(all, `\+`)
	case '\n':
		all = append(all, `\\+n`)
	case '\r':
		all = append(all, `\\+r`)
	case '\t':
		all = append(all, `\\+t`)
	case '"', '/', '\\':
		all = append(all, `\\+`+regexp.QuoteMeta(string(c)))
	}
	return "(?:" + strings.Join(all, "|") + ")"
}

// Hide replaces all secrets in a text.
func (s *secrets) Hide(text string) string {
	text = s.long.Replace(text)
	if s.spelled != nil {
		text = s.spelled.ReplaceAllLiteralString(text, Hidden)
	}
	return text
}

// HideIn replaces all secrets in the texts of a value of JSON's types; numbers and keys, too.
func (s *secrets) HideIn(value any) any {
	if len(s.texts) == 0 {
		return value
	}
	switch value := value.(type) {
	case string:
		return s.Hide(value)
	case int64, uint64, float64:
		if slices.Contains(s.texts, Text(value)) {
			return Hidden
		}
	case []any:
		hidden := make([]any, len(value))
		for i, item := range value {
			hidden[i] = s.HideIn(item)
		}
		return hidden
	case map[string]any:
		hidden := make(map[string]any, len(value))
		for k, item := range value {
			hidden[s.Hide(k)] = s.HideIn(item)
		}
		return hidden
	}
	return value
}
