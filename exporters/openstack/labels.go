package openstack

import (
	"maps"
	"slices"
)

// labels keeps a label's values to a number: the first ones of the alphabet, so that they are the same each time. The rest
// share "other".
type labels struct {
	most  int
	found map[string]bool
	kept  map[string]bool // nil: not settled
}

func (l *labels) add(value string) {
	if l.found == nil {
		l.found = map[string]bool{}
	}
	l.found[value], l.kept = true, nil
}

func (l *labels) settle() {
	if l.kept != nil {
		return
	}
	l.kept = map[string]bool{}
	for i, value := range slices.Sorted(maps.Keys(l.found)) {
		if i == l.most {
			l.kept[other] = true
			break
		}
		l.kept[value] = true
	}
}

// label is the value's label, once all are added.
func (l *labels) label(value string) string {
	l.settle()
	if l.kept[value] {
		return value
	}
	return other
}

// all are the labels.
func (l *labels) all() []string {
	l.settle()
	return slices.Sorted(maps.Keys(l.kept))
}
