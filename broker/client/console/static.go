package console

import (
	"context"
	"fmt"
	"maps"

	"github.com/deskstorm/deskstorm/broker/client"
)

// Static looks consoles up in a map, by the server's ID or else by its name. A ticket in the map is given to all.
func Static(consoles map[string]client.Console) Finder { return static(maps.Clone(consoles)) }

type static map[string]client.Console

func (s static) Find(_ context.Context, d Desktop) (client.Console, error) {
	for _, key := range []string{d.ServerID, d.Name} {
		if found, ok := s[key]; ok && key != "" {
			return found, nil
		}
	}
	return client.Console{}, fmt.Errorf("static consoles: %w: %s is not among them", ErrNotOffered, d)
}
