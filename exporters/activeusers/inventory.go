package activeusers

import (
	"errors"
	"fmt"
	"strings"

	"github.com/deskstorm/deskstorm/exporters/activeusers/table"
	"github.com/deskstorm/deskstorm/internal/activity"
	"github.com/deskstorm/deskstorm/internal/linefile"
)

// inventory is where each client is. It does not change.
type inventory struct {
	clients  map[string]place
	prefixes map[string]place // of names, without the *
}

const (
	maxInventory = 1_000_000
	maxPrefixes  = 100
)

// loadInventory reads a file.
func loadInventory(path string, p *places) (*inventory, error) {
	data, err := linefile.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the inventory: %w", err)
	}
	inv := &inventory{clients: map[string]place{}, prefixes: map[string]place{}}
	m := &linefile.Mistakes{File: path}
	table.Read(data, m, []string{"client", "site", "department"}, []string{"seat", "person", "note"}, func(row table.Row) {
		if err := inv.add(row, p); err != nil {
			m.Add(row.Line, "%s", err)
		}
	})
	return inv, m.Err()
}

func (inv *inventory) add(row table.Row, p *places) error {
	name, site, department := row.Get("client"), row.Get("site"), row.Get("department")
	if err := p.check(site, department); err != nil {
		return err
	}
	to, most := inv.clients, maxInventory
	name, many := strings.CutSuffix(name, "*")
	if many {
		to, most = inv.prefixes, maxPrefixes
	}
	if !activity.ValidName(name) {
		return errors.New("client: expected 1 to 64 letters, digits, dots, hyphens, underscores or colons, perhaps with a * after")
	}
	if _, twice := to[name]; twice {
		return fmt.Errorf("the client %q is there twice", row.Get("client"))
	}
	if len(to) == most {
		return fmt.Errorf("more than %d clients, or %d with a *", maxInventory, maxPrefixes)
	}
	to[name] = p.at(site, department)
	return nil
}

// find returns a client's place, and whether it stands there by its own name. The longest prefix wins.
func (inv *inventory) find(client string) (at place, own, ok bool) {
	if at, ok := inv.clients[client]; ok {
		return at, true, true
	}
	longest := 0
	for prefix, there := range inv.prefixes {
		if len(prefix) > longest && strings.HasPrefix(client, prefix) {
			at, longest = there, len(prefix)
		}
	}
	return at, false, longest > 0
}
