package openstack

import (
	"bytes"
	"encoding/json"
	"slices"
)

// levels are those that are counted.
var levels = []string{"ERROR", "CRITICAL"}

// levelWithin is among how many words of a line its level is looked for: date, time and process come before it, and what a web
// server writes in front of its applications' lines.
const levelWithin = 16

// quiet are the levels that are not counted: what follows one is a message, whatever it says.
var quiet = []string{"TRACE", "DEBUG", "INFO", "AUDIT", "WARNING", "WARN"}

// level is what a line of oslo.log's reports at, if it is one of levels; else empty. Its forms are the plain one, with what
// syslog or a web server put in front (logging_context_format_string, logging_default_format_string), and JSON.
//
// Each line of a traceback has its error's level again (logging_exception_prefix). It is the line with the request's context
// behind the logger's name that counts: "[-]", "[req-...]", "[None req-...]".
func level(line []byte) string {
	line = bytes.TrimSpace(line)
	if len(line) > 0 && line[0] == '{' {
		return jsonLevel(line)
	}
	rest := line
	for range levelWithin {
		var word []byte
		word, rest = cutWord(rest)
		if word == nil || slices.Contains(quiet, string(word)) {
			return ""
		}
		for _, l := range levels {
			if string(word) != l {
				continue
			}
			_, context := cutWord(rest) // behind the logger's name
			if inRequest(context) {
				return l
			}
			return ""
		}
	}
	return ""
}

// inRequest tells a request's context from other brackets: "[instance: ...]" of a traceback, "[SQL: ...]" of a database's error.
func inRequest(text []byte) bool {
	end := bytes.IndexByte(text, ']')
	if len(text) == 0 || text[0] != '[' || end < 0 {
		return false
	}
	inside := text[1:end]
	return string(inside) == "-" || bytes.Contains(inside, []byte("req-"))
}

// cutWord returns the first word, nil if there is none, and the rest without blanks before it.
func cutWord(line []byte) (word, rest []byte) {
	end := bytes.IndexByte(line, ' ')
	if end < 0 {
		if len(line) == 0 {
			return nil, nil
		}
		return line, nil
	}
	return line[:end], bytes.TrimLeft(line[end:], " ")
}

// jsonLevel reads a line of oslo_log.formatters.JSONFormatter.
func jsonLevel(line []byte) string {
	var wire struct {
		Level string `json:"levelname"`
	}
	if json.Unmarshal(line, &wire) != nil {
		return ""
	}
	for _, l := range levels {
		if wire.Level == l {
			return l
		}
	}
	return ""
}
