package api_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/deskstorm/deskstorm/broker/api"
	"github.com/deskstorm/deskstorm/broker/client"
)

// FuzzLogin: a body is refused with client.BadRequest, or it is what package json reads too, within the limits.
func FuzzLogin(f *testing.F) {
	for _, body := range []string{
		goodLogin, `{}`, `{"user": "u", "password": "p", "tags": {"a": "b", "a": "c"}}`, `{"user": "u", "password": "p"} x`, `{"user":null}`,
		`{"user": "\ud83d\ude00", "password": "\ud800"}`, `{"USER": "u", "password": "p"}`, `[{"user": "u"}]`, "{\"user\": \"\xff\"}",
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		l, err := api.ParseLogin(body)
		if err != nil {
			e, ok := errors.AsType[*client.Error](err)
			if !ok || e.Class != client.BadRequest || e.Message == "" || len(e.Message) > 1000 || !utf8.ValidString(e.Message) ||
				strings.ContainsFunc(e.Message, unicode.IsControl) {
				t.Fatalf("%#v", err)
			}
			if !reflect.DeepEqual(l, client.Login{}) {
				t.Fatalf("%v beside an error", l)
			}
			return
		}
		var want struct {
			User, Password, Seat, Site string
			ThinClient                 string `json:"thin_client"`
			Tags                       map[string]string
		}
		if err := json.Unmarshal(body, &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(l, client.Login{User: want.User, Password: want.Password, Seat: want.Seat, ThinClient: want.ThinClient,
			Site: want.Site, Tags: want.Tags}) {
			t.Fatalf("%+v instead of %+v", l, want)
		}
		if l.User == "" || l.Password == "" || utf8.RuneCountInString(l.Password) > 1024 || strings.ContainsFunc(l.User, unicode.IsControl) {
			t.Fatalf("beyond the limits: %+v", l)
		}
	})
}
