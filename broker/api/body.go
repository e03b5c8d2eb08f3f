package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/deskstorm/deskstorm/broker/client"
)

// maxBody is the largest body that a request may have, in bytes: several times a login with every field at its limit.
const maxBody = 64 << 10

// Limits of what requests say, in characters. openapi.yaml has them too.
const (
	maxUser      = 256
	maxPassword  = 1024
	maxPlace     = 128 // seats, thin clients, sites
	maxTags      = 32
	maxTagName   = 64
	maxTagValue  = 256
	maxReason    = 500
	maxID        = 128 // sessions, desktops
	maxName      = 128 // pools
	maxKey       = 256 // bindings
	maxFieldEcho = 64  // of an unknown field's name, in the answer that refuses it
)

// field is a member of an object in a request's body.
type field struct {
	name     string
	required bool
	read     func(*json.Decoder, string) error
}

// body reads the request's JSON, which must be UTF-8: package json would change what is not, even in a password.
func (c *call) body() ([]byte, error) {
	if media, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return nil, unsupported("the body must be application/json")
	}
	if coding := c.r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, unsupported("the body must not be compressed")
	}
	// Knowing its size saves the buffer's growth.
	var buffer bytes.Buffer
	if size := c.r.ContentLength; 0 < size && size <= maxBody {
		buffer.Grow(int(size) + bytes.MinRead)
	}
	if _, err := io.Copy(&buffer, http.MaxBytesReader(c.w.ResponseWriter, c.r.Body, maxBody)); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, &refusal{status: http.StatusRequestEntityTooLarge, class: client.BadRequest,
				detail: fmt.Sprintf("the body has more than %d bytes", maxBody)}
		}
		return nil, &client.Error{Class: client.BadRequest, Message: "the body ended too early", Err: err}
	}
	return buffer.Bytes(), nil
}

func unsupported(detail string) error {
	return &refusal{status: http.StatusUnsupportedMediaType, class: client.BadRequest, detail: detail}
}

// parse reads an object with these fields and no others, each once. Its errors hold nothing of the values.
func parse(body []byte, fields ...field) error {
	if !utf8.Valid(body) {
		return badRequest("the body is not UTF-8")
	}
	var whole json.RawMessage
	if err := json.Unmarshal(body, &whole); err != nil {
		// The error's text would quote a character of the body.
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			return badRequest(fmt.Sprintf("the body is not one JSON object: it breaks off or goes wrong at byte %d", syntax.Offset))
		}
		return badRequest("the body is not one JSON object")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	seen := make(map[string]bool, len(fields))
	err := members(d, "the body", func(name string) error {
		for _, f := range fields {
			if f.name == name {
				seen[name] = true
				return f.read(d, name)
			}
		}
		return badRequest(fmt.Sprintf("%s: unknown field", echo(name)))
	})
	if err != nil {
		return err
	}
	for _, f := range fields {
		if f.required && !seen[f.name] {
			return badRequest(f.name + ": is missing")
		}
	}
	return nil
}

// members reads an object and calls read with each member's name, which reads its value. Package json alone would let a
// name stand twice, and in any case of letters.
func members(d *json.Decoder, what string, read func(name string) error) error {
	if token, err := d.Token(); err != nil || token != json.Delim('{') {
		return badRequest(what + ": must be an object")
	}
	seen := make(map[string]bool)
	for d.More() {
		token, err := d.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return badRequest(what + ": must be an object")
		}
		if seen[name] {
			return badRequest(fmt.Sprintf("%s: stands twice", echo(name)))
		}
		seen[name] = true
		if err := read(name); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return badRequest(what + ": must be an object")
	}
	return nil
}

// text reads a string of at least and at most so many characters.
func text(into *string, least, most int) func(*json.Decoder, string) error {
	return func(d *json.Decoder, name string) error {
		token, err := d.Token()
		value, ok := token.(string)
		if err != nil || !ok {
			return badRequest(name + ": must be a string")
		}
		*into = value
		return checkText(name, value, least, most)
	}
}

// tags reads an object of strings.
func tags(into *map[string]string) func(*json.Decoder, string) error {
	return func(d *json.Decoder, name string) error {
		*into = make(map[string]string)
		return members(d, name, func(tag string) error {
			if len(*into) == maxTags {
				return badRequest(fmt.Sprintf("%s: at most %d are allowed", name, maxTags))
			}
			if err := checkText("a tag's name", tag, 1, maxTagName); err != nil {
				return err
			}
			var value string
			if err := text(&value, 0, maxTagValue)(d, "tag "+echo(tag)); err != nil {
				return err
			}
			(*into)[tag] = value
			return nil
		})
	}
}

// checkText refuses what no name and no password has: control characters, and U+FFFD, which stands for what was no character.
func checkText(name, value string, least, most int) error {
	switch count := utf8.RuneCountInString(value); {
	case count < least:
		return badRequest(name + ": is empty")
	case count > most:
		return badRequest(fmt.Sprintf("%s: has %d characters, at most %d are allowed", name, count, most))
	}
	for _, r := range value {
		switch {
		case unicode.IsControl(r):
			return badRequest(name + ": has a control character")
		case r == utf8.RuneError:
			return badRequest(name + ": has what is no character")
		}
	}
	return nil
}

// echo quotes a name that the client chose, or its beginning.
func echo(name string) string {
	if runes := []rune(name); len(runes) > maxFieldEcho {
		name = string(runes[:maxFieldEcho]) + "..."
	}
	return fmt.Sprintf("%q", name)
}
