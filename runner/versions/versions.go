// Package versions finds out what is under test: the versions of the kernel, QEMU, libvirt, Open vSwitch, OpenStack, RabbitMQ, dnsmasq,
// and of the programs that test. The history keeps them with each run, so that runs can be compared by them. Not to know one never
// fails a run.
package versions

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sync/errgroup"
)

// The names of versions. They are keys of the history, and do not change.
const (
	Kernel    = "kernel" // of the compute nodes, or of the runner's machine where nothing else is asked
	QEMU      = "qemu"
	Libvirt   = "libvirt"
	OVS       = "ovs"
	OpenStack = "openstack" // the compute API's microversion, "nova 2.96": it names no release itself
	RabbitMQ  = "rabbitmq"
	Dnsmasq   = "dnsmasq"
	Deskstorm = "deskstorm"
	K6        = "k6"
	Go        = "go"
)

// Source is one place where versions are known.
type Source struct {
	Where string // for errors: "host compute-3"
	// Get returns versions by name, several of a name if Where has several. With an error it may return some.
	Get func(ctx context.Context) (Found, error)
}

// Found is versions by name: one of each host or instance.
type Found map[string][]string

// atOnce bounds how many sources are asked at the same time.
const atOnce = 16

// Collect asks all sources at once, each for at most timeout, and returns what a run keeps: see Text. The errors say what was not
// found out; a source that does not answer is one, even if it does not heed its context.
func Collect(ctx context.Context, timeout time.Duration, sources []Source) (map[string]string, error) {
	type answer struct {
		found Found
		err   error
	}
	answers := make([]answer, len(sources))
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i, s := range sources {
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			got := make(chan answer, 1)
			go func() {
				found, err := s.Get(ctx)
				got <- answer{found, err}
			}()
			select {
			case answers[i] = <-got:
			case <-ctx.Done():
				answers[i].err = ctx.Err()
			}
			return nil
		})
	}
	_ = group.Wait()
	all := Found{}
	var errs []error
	for i, a := range answers {
		if a.err != nil {
			errs = append(errs, fmt.Errorf("asking %s for versions: %w", sources[i].Where, a.err))
		}
		for name, versions := range a.found {
			all[name] = append(all[name], versions...)
		}
	}
	texts := map[string]string{}
	for name, versions := range all {
		if text := Text(versions); text != "" {
			texts[name] = text
		}
	}
	return texts, errors.Join(errs...)
}

// Text is what a run keeps of the versions of all hosts: "8.2.2" where all have one, "7.2.4 (3), 8.2.2 (1)" where they differ, in
// the order of the versions. So a host more or less is no other version, and how far an upgrade had come is known.
func Text(versions []string) string {
	counts := map[string]int{}
	for _, v := range versions {
		if v = tidy(v); v != "" {
			counts[v]++
		}
	}
	names := slices.SortedFunc(maps.Keys(counts), Compare)
	if len(names) == 1 {
		return names[0]
	}
	for i, name := range names {
		names[i] = fmt.Sprintf("%s (%d)", name, counts[name])
	}
	return strings.Join(names, separator)
}

const separator = ", "

// Combination is a Text without its counts: "7.2.4, 8.2.2". Runs are grouped by it.
func Combination(text string) string {
	counted := regexp.MustCompile(`^(.*) \([0-9]+\)$`)
	parts := strings.Split(text, separator)
	if len(parts) == 1 {
		return text
	}
	for i, p := range parts {
		if m := counted.FindStringSubmatch(p); m != nil {
			parts[i] = m[1]
		}
	}
	return strings.Join(parts, separator)
}

// maxVersion is the longest version in characters. What programs say goes to reports, and some say a lot.
const maxVersion = 80

// tidy makes a version one short line without what separates versions.
func tidy(v string) string {
	v = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == ',' || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, v)
	v = strings.Join(strings.Fields(v), " ")
	if runes := []rune(v); len(runes) > maxVersion {
		v = string(runes[:maxVersion])
	}
	return v
}

// Compare orders versions: numbers in them by value, so that 7.10 comes after 7.9.
func Compare(a, b string) int {
	for a != "" && b != "" {
		na, nb := digits(a), digits(b)
		if na == 0 || nb == 0 {
			if a[0] != b[0] {
				return int(a[0]) - int(b[0])
			}
			a, b = a[1:], b[1:]
			continue
		}
		x, y := strings.TrimLeft(a[:na], "0"), strings.TrimLeft(b[:nb], "0")
		if len(x) != len(y) {
			return len(x) - len(y)
		}
		if c := strings.Compare(x, y); c != 0 {
			return c
		}
		a, b = a[na:], b[nb:]
	}
	return len(a) - len(b)
}

// digits is how many of them a text begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}
