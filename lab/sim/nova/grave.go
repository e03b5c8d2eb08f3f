package nova

import "time"

// How long deleted servers are remembered for those who ask what changed, and how many; Nova's own stay until they are archived.
const (
	graveTime = 24 * time.Hour
	maxGraves = 10_000
)

// graves are the deleted servers, in the order of their deletion. Nova.mu guards them.
type graves struct {
	byID  map[string]*server
	order []*server
}

func (g *graves) add(s *server, now time.Time) {
	gone := 0
	for gone < len(g.order) && (len(g.order)-gone >= maxGraves || now.Sub(g.order[gone].terminated) > graveTime) {
		delete(g.byID, g.order[gone].id)
		gone++
	}
	g.order = append(g.order[gone:], s)
	g.byID[s.id] = s
}
