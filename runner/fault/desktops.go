package fault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"

	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/runner/target"
)

// Statuses of servers in Nova.
const (
	active  = "ACTIVE"
	shutoff = "SHUTOFF"
)

func desktopsBoot() kind {
	return storm("desktops.boot", "boots desktops that are shut off, all at once or so many at a time", "boot", shutoff, "start", "stop")
}

func desktopsStop() kind {
	return storm("desktops.stop", "shuts desktops down", "are shut down", active, "stop", "start")
}

func desktopsReboot() kind {
	return storm("desktops.reboot", "cuts the power of desktops and boots them", "reboot", active, "reboot", "start")
}

// storm is a fault that has an action done with servers of a status, and another one to have them in that status again.
func storm(name, doc, what, status, action, back string) kind {
	return kind{
		name: name, doc: doc,
		parameters: []native.Parameter{
			{Name: "count", Type: native.Integer, Required: true, Doc: "how many, chosen by the seed"},
			{Name: "name", Type: native.Text, Doc: "of those whose names fit a pattern such as desk-*; all if absent"},
			{Name: "tag", Type: native.Text, Doc: "of those that have this tag; all if absent"},
			{Name: "host", Type: native.Text, Doc: "of those on this compute host, which administrators are shown; all if absent"},
			{Name: "all_projects", Type: native.Boolean, Doc: "of all projects, for administrators; of the credentials' project if absent"},
			{Name: "seed", Type: native.Integer, Doc: "of the choice; 1 if absent"},
			{Name: "gate", Type: native.Integer,
				Doc: "so many at a time: the next one is asked for when Nova is done with one; all at once if absent"},
		},
		cloud: func(ctx context.Context, r *request) error {
			count, gate := r.Integer("count", 0), r.Integer("gate", 0)
			if count < 1 {
				return native.Wrong("count", "expected 1 or more")
			}
			if gate < 0 || r.Has("gate") && gate == 0 {
				return native.Wrong("gate", "expected 1 or more")
			}
			chosen, err := r.choose(ctx, status, count)
			if err != nil {
				return err
			}
			at := ", all at once"
			if gate > 0 {
				at = fmt.Sprintf(", %d at a time", gate)
			}
			r.whats("%d desktops of %s %s%s", count, r.at, what, at)
			for _, s := range chosen {
				r.Touches.Desktops = append(r.Touches.Desktops, s.ID)
			}
			ids := r.Touches.Desktops
			r.undoes(servers(back, ids...))
			if gate == 0 || gate > count {
				gate = count
			}
			r.applies(servers(action, ids[:gate]...))
			// An action waits until its server is done with the one before, and this one is fine with what it finds then.
			settled := action
			if action == "reboot" {
				settled = "start"
			}
			for i, id := range ids[gate:] {
				r.applies(servers(settled, ids[i]), servers(action, id))
			}
			return nil
		},
	}
}

func servers(action string, ids ...string) target.Step {
	return target.Step{Server: &target.Server{IDs: ids, Action: action}}
}

// choose takes so many of the cloud's servers that are in a status and fit.
func (r *request) choose(ctx context.Context, status string, count int) ([]cloud.Server, error) {
	pattern, host := r.Text("name", "*"), r.Text("host", "")
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, native.Wrong("name", "expected a pattern such as desk-*, found %q", pattern)
	}
	if r.Cloud == nil {
		return nil, errors.New("nothing is there that knows the target's cloud")
	}
	c, err := r.Cloud(ctx, r.at)
	if err != nil {
		return nil, err
	}
	filter := cloud.Filter{Status: status, AllProjects: r.Boolean("all_projects", false)}
	if tag := r.Text("tag", ""); tag != "" {
		filter.Tags = []string{tag}
	}
	all, err := c.Servers(ctx, filter)
	if err != nil {
		return nil, err
	}
	fit := slices.DeleteFunc(all, func(s cloud.Server) bool {
		ok, _ := path.Match(pattern, s.Name)
		return !ok || s.TaskState != "" || host != "" && s.Host != host
	})
	if len(fit) < count {
		return nil, fmt.Errorf("%d desktops are asked for, and %d fit that are %s and not busy", count, len(fit), status)
	}
	slices.SortFunc(fit, func(a, b cloud.Server) int { return cmp.Compare(a.ID, b.ID) })
	random := rand.New(rand.NewPCG(uint64(r.Integer("seed", 1)), 0))
	random.Shuffle(len(fit), func(i, j int) { fit[i], fit[j] = fit[j], fit[i] })
	return fit[:count], nil
}
