package directory

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"
)

const (
	maxDepth = 32 // levels of nested groups; real directories have a handful
	maxOr    = 64 // members in one filter, so that requests stay small
)

// group is a group of the directory.
type group struct {
	dn    string
	names []string
}

// groups returns the names of the groups that a user is in, sorted.
func (d *Directory) groups(ctx context.Context, dn string) ([]string, error) {
	if d.config.GroupBase == "" {
		return nil, nil
	}
	direct, err := d.groupsOf(ctx, []string{dn})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, g := range direct {
		names = append(names, g.names...)
	}
	if d.config.Nested && !d.config.InChain && len(direct) > 0 {
		above, err := d.ancestry.of(direct, func() ([]string, error) { return d.above(ctx, direct) })
		if err != nil {
			return nil, err
		}
		names = append(names, above...)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// above returns the names of all groups that these groups are in, level by level. Each group is asked about once, so that
// groups in a circle end it.
func (d *Directory) above(ctx context.Context, groups []group) ([]string, error) {
	var names []string
	seen := map[string]bool{}
	for _, g := range groups {
		seen[strings.ToLower(g.dn)] = true
	}
	for depth := 0; len(groups) > 0; depth++ {
		if depth == maxDepth {
			return nil, fmt.Errorf("groups are nested more than %d deep", maxDepth)
		}
		var next []group
		for members := range slices.Chunk(groups, maxOr) {
			var dns []string
			for _, g := range members {
				dns = append(dns, g.dn)
			}
			parents, err := d.groupsOf(ctx, dns)
			if err != nil {
				return nil, err
			}
			for _, g := range parents {
				if key := strings.ToLower(g.dn); !seen[key] {
					seen[key] = true
					next = append(next, g)
					names = append(names, g.names...)
				}
			}
		}
		groups = next
	}
	return names, nil
}

// groupsOf returns the groups that have any of the members.
func (d *Directory) groupsOf(ctx context.Context, members []string) ([]group, error) {
	var groups []group
	err := d.run(ctx, d.searches, func(c *ldap.Conn) error {
		// The paging control keeps state in the request, so each attempt has a new one.
		request := d.searchRequest(d.config.GroupBase, ldap.ScopeWholeSubtree, d.config.groupFilter(members), d.config.GroupName)
		result, err := c.SearchWithPaging(request, uint32(d.config.PageSize))
		if err != nil {
			return err
		}
		groups = nil
		for _, entry := range result.Entries {
			groups = append(groups, group{entry.DN, entry.GetEqualFoldAttributeValues(d.config.GroupName)})
		}
		return nil
	})
	return groups, err
}

// ancestry remembers for a while what groups a set of groups is in. The people of a department are in the same groups, so
// that few sets serve most logins.
type ancestry struct {
	ttl time.Duration
	now func() time.Time

	mu    sync.Mutex
	known map[string]ancestors
}

type ancestors struct {
	names   []string
	expires time.Time
}

const maxAncestries = 4096 // sets of groups

func newAncestry(ttl time.Duration, now func() time.Time) *ancestry {
	return &ancestry{ttl: ttl, now: now, known: map[string]ancestors{}}
}

// of returns the names of the groups that these groups are in, from look if they are not known.
func (a *ancestry) of(groups []group, look func() ([]string, error)) ([]string, error) {
	if a.ttl == 0 {
		return look()
	}
	var dns []string
	for _, g := range groups {
		dns = append(dns, strings.ToLower(g.dn))
	}
	slices.Sort(dns)
	key := strings.Join(dns, "\x00") // which a DN holds only escaped
	a.mu.Lock()
	now := a.now()
	known, found := a.known[key]
	a.mu.Unlock()
	if found && now.Before(known.expires) {
		return known.names, nil
	}
	names, err := look()
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.known) >= maxAncestries {
		clear(a.known) // rare, and soon filled again with those in use
	}
	a.known[key] = ancestors{names, now.Add(a.ttl)}
	return names, nil
}
