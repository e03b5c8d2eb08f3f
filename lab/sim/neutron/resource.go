package neutron

import (
	"fmt"
	"slices"
)

// resources are kept in the order in which they were made.
type resources[T comparable] struct {
	byID  map[string]T
	order []T
}

func newResources[T comparable]() resources[T] { return resources[T]{byID: map[string]T{}} }

func (r *resources[T]) add(id string, v T) error {
	if _, exists := r.byID[id]; exists {
		return fmt.Errorf("there are two with id %s", id)
	}
	r.byID[id] = v
	r.order = append(r.order, v)
	return nil
}

func (r *resources[T]) remove(id string) {
	v, ok := r.byID[id]
	if !ok {
		return
	}
	delete(r.byID, id)
	r.order = slices.DeleteFunc(r.order, func(o T) bool { return o == v })
}
