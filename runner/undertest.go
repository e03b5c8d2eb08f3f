package runner

import (
	"context"
	"time"

	"github.com/deskstorm/deskstorm/runner/versions"
)

// versionsTimeout is how long one source of versions may take. A run goes on meanwhile.
const versionsTimeout = 30 * time.Second

// underTest collects the versions of what is under test: of this program, of the machines and clouds that are targets, also of those
// at which no fault is allowed, and of this machine where no other is known.
func (r *Runner) underTest(ctx context.Context) map[string]string {
	sources := []versions.Source{versions.Own()}
	machines := 0
	for _, name := range r.Config.Targets.Names() {
		switch t := r.Config.Targets[name]; {
		case t.SSH != nil:
			machines++
			sources = append(sources, versions.Host("target "+name, versions.At(r.targets, name)))
		case t.Cloud != nil:
			sources = append(sources, versions.Source{Where: "target " + name, Get: func(ctx context.Context) (versions.Found, error) {
				c, err := r.targets.Cloud(ctx, name)
				if err != nil {
					return nil, err
				}
				return versions.Nova(c).Get(ctx)
			}})
		}
	}
	if machines == 0 {
		sources = append(sources, versions.Host("this machine", versions.Here))
	}
	found, err := versions.Collect(ctx, versionsTimeout, sources)
	if err != nil && ctx.Err() == nil {
		r.options.Log.Warn("not all versions of what is under test are known", "error", err)
	}
	return found
}
