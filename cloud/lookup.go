package cloud

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/gophercloud/gophercloud/v2"
)

// named is what flavors, images and networks have in common.
type named struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// pick finds the one that is meant. An ID wins over names that look like it.
func pick(all []named, nameOrID string) (string, error) {
	var ids []string
	for _, n := range all {
		if n.ID == nameOrID {
			return n.ID, nil
		}
		if n.Name == nameOrID {
			ids = append(ids, n.ID)
		}
	}
	slices.Sort(ids)
	switch ids = slices.Compact(ids); len(ids) {
	case 0:
		return "", ErrNotFound
	case 1:
		return ids[0], nil
	}
	return "", fmt.Errorf("%w; say which by its ID: %s", ErrAmbiguous, strings.Join(ids, ", "))
}

// pickBy asks a service that filters by "name" and "id", both exactly.
func pickBy[P any](ctx context.Context, client *gophercloud.ServiceClient, list, nameOrID string, query url.Values,
	take func(P) ([]named, string, error),
) (string, error) {
	var all []named
	filters := []string{"name"}
	if uuid.Validate(nameOrID) == nil {
		filters = []string{"id", "name"}
	}
	for _, filter := range filters {
		query.Del("id")
		query.Set(filter, nameOrID)
		err := eachPage(ctx, client, client.ServiceURL(list), query, func(page P) (string, error) {
			some, next, err := take(page)
			all = append(all, some...)
			return next, err
		})
		if err != nil {
			return "", err
		}
		if len(all) > 0 {
			break
		}
	}
	return pick(all, nameOrID)
}
