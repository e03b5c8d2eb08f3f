package vdi

import (
	"fmt"
	"math"
	"sort"
	"strings"
	"time"

	"github.com/grafana/sobek"
	"go.k6.io/k6/v2/js/common"
	"go.k6.io/k6/v2/lib/types"

	"github.com/deskstorm/deskstorm/spice/wire"
)

// fields reads an object's fields strictly: what is not asked for is an error.
type fields struct {
	values map[string]any
	err    error
}

func fieldsOf(rt *sobek.Runtime, v sobek.Value) fields {
	f := fields{values: map[string]any{}}
	if common.IsNullish(v) {
		return f
	}
	obj := v.ToObject(rt)
	for _, key := range obj.Keys() {
		if value := obj.Get(key); !common.IsNullish(value) {
			f.values[key] = value.Export()
		}
	}
	return f
}

func (f *fields) take(name string) (any, bool) {
	v, ok := f.values[name]
	delete(f.values, name)
	return v, ok
}

func (f *fields) fail(name, format string, args ...any) {
	if f.err == nil {
		f.err = fmt.Errorf("%s %s", name, fmt.Sprintf(format, args...))
	}
}

func (f *fields) text(name string, to *string) {
	if v, ok := f.take(name); ok {
		if s, isText := v.(string); isText {
			*to = s
		} else {
			f.fail(name, "must be a string")
		}
	}
}

func (f *fields) port(name string, to *int) {
	v, ok := f.take(name)
	if !ok {
		return
	}
	n, whole := number(v)
	if !whole || n < 1 || n > 65535 {
		f.fail(name, "must be a port from 1 to 65535")
		return
	}
	*to = int(n)
}

func (f *fields) duration(name string, to *time.Duration) {
	v, ok := f.take(name)
	if !ok {
		return
	}
	d, err := types.GetDurationValue(v)
	if err != nil || d <= 0 {
		f.fail(name, "must be a duration above 0, such as '30s', or milliseconds")
		return
	}
	*to = d
}

// end returns the first error, or the fields that nobody asked for.
func (f *fields) end() error {
	if f.err == nil && len(f.values) > 0 {
		names := make([]string, 0, len(f.values))
		for name := range f.values {
			names = append(names, name)
		}
		sort.Strings(names)
		return fmt.Errorf("unknown option %s", strings.Join(names, ", "))
	}
	return f.err
}

// number is a JavaScript number's value and whether it is a whole one.
func number(v any) (float64, bool) {
	switch n := v.(type) {
	case int64:
		return float64(n), true
	case float64:
		return n, n == math.Trunc(n)
	}
	return 0, false
}

func (f *fields) channels(name string, to *[]wire.ChannelType) {
	v, ok := f.take(name)
	if !ok {
		return
	}
	names, isList := v.([]any)
	if !isList {
		f.fail(name, "must be a list of channel names")
		return
	}
	for _, n := range names {
		t, err := wire.ParseChannelType(fmt.Sprint(n))
		if err != nil {
			f.fail(name, "%v", err)
			return
		}
		*to = append(*to, t)
	}
}

// texts reads an object of strings.
func (f *fields) texts(name string, to *map[string]string) {
	v, ok := f.take(name)
	if !ok {
		return
	}
	object, isObject := v.(map[string]any)
	texts := make(map[string]string, len(object))
	for key, value := range object {
		text, isText := value.(string)
		if !isText {
			isObject = false
			break
		}
		texts[key] = text
	}
	if !isObject {
		f.fail(name, "must be an object of strings")
		return
	}
	*to = texts
}

// object reads an object's fields by read.
func (f *fields) object(name string, v map[string]any, read func(*fields)) {
	inner := fields{values: map[string]any{}}
	for key, value := range v {
		if value != nil {
			inner.values[key] = value
		}
	}
	read(&inner)
	if err := inner.end(); err != nil && f.err == nil {
		f.err = fmt.Errorf("%s: %w", name, err)
	}
}
