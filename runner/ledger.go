package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/runner/ledger"
	"github.com/deskstorm/deskstorm/runner/probes"
	"github.com/deskstorm/deskstorm/runner/undo"
)

// madeLedger is a run's ledger as probes write it.
type madeLedger struct{ *ledger.Ledger }

func resource(r probes.Resource) ledger.Resource {
	return ledger.Resource{Target: cloudSection, Kind: r.Kind, Name: r.Name}
}

// cloudSection is where probes make resources: the cloud of the configuration's section of that name.
const cloudSection = "cloud"

func (l madeLedger) Making(_ context.Context, r probes.Resource) error { return l.Will(resource(r)) }

func (l madeLedger) Made(_ context.Context, r probes.Resource) error {
	return l.Ledger.Made(resource(r), r.ID)
}

func (l madeLedger) Gone(_ context.Context, r probes.Resource) error {
	return l.Ledger.Gone(resource(r))
}

// removeMade removes what a run has made in the cloud and not removed itself.
func (r *Run) removeMade(ctx context.Context) error {
	entries, err := ledger.Read(r.runner.Dir(r.ID))
	if err != nil {
		return fmt.Errorf("removing what the run has made: %w; deskstorm cleanup --run %s removes it", err, r.ID)
	}
	if !slices.ContainsFunc(entries, func(e ledger.Entry) bool { return e.Gone.IsZero() }) {
		return nil
	}
	report, err := r.runner.Cleanup(ctx, ledger.Options{Run: r.ID})
	if err != nil {
		return fmt.Errorf("removing what the run has made: %w", err)
	}
	if n := len(report.Left); n > 0 {
		return fmt.Errorf("%d servers and ports that the run has made could not be removed; deskstorm cleanup --run %s tries it again", n, r.ID)
	}
	return nil
}

// Cleanup removes from the cloud what runs have left there, by its marks alone. What living runs of this machine have is left.
func (r *Runner) Cleanup(ctx context.Context, o ledger.Options) (ledger.Report, error) {
	section := r.Config.Probes.Cloud
	if section == nil {
		return ledger.Report{}, errors.New("the configuration has no section cloud, where experiments make servers")
	}
	credentials, err := cloud.LoadFile(section.File, section.Name)
	if err != nil {
		return ledger.Report{}, err
	}
	c, err := cloud.Connect(ctx, credentials)
	if err != nil {
		return ledger.Report{}, err
	}
	o.Owner = section.Owner
	if o.Run == "" {
		o.Living = func(run string) bool { return undo.Living(r.runs(), run) }
	}
	return ledger.Cleanup(ctx, c, o)
}
