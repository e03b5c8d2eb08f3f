package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/runner/config"
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

// removeMade removes what a run has made in the cloud and not removed itself, and says how much that was.
func removeMade(ctx context.Context, c config.Config, run string) (int, error) {
	dir := filepath.Join(runsDir(c), run)
	entries, err := ledger.Read(dir)
	if err != nil {
		return 0, fmt.Errorf("removing what the run has made: %w; deskstorm cleanup --run %s removes it", err, run)
	}
	left := slices.DeleteFunc(entries, func(e ledger.Entry) bool { return !e.Gone.IsZero() })
	if len(left) == 0 {
		return 0, nil
	}
	report, err := cleanup(ctx, c, ledger.Options{Run: run})
	if err != nil {
		return 0, fmt.Errorf("removing what the run has made: %w; deskstorm cleanup --run %s tries it again", err, run)
	}
	book, err := ledger.Open(dir)
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, e := range left {
		errs = append(errs, book.Gone(e.Resource))
	}
	return len(report.Removed), errors.Join(append(errs, book.Close())...)
}

// removeDead removes what dead runs of this machine have made in the cloud.
func removeDead(ctx context.Context, c config.Config, log *slog.Logger) error {
	folders, err := os.ReadDir(runsDir(c))
	if err != nil {
		return fmt.Errorf("looking for what dead runs left in the cloud: %w", err)
	}
	var errs []error
	for _, f := range folders {
		if undo.Living(runsDir(c), f.Name()) {
			continue
		}
		n, err := removeMade(ctx, c, f.Name())
		if err != nil {
			errs = append(errs, fmt.Errorf("run %s: %w", f.Name(), err))
		} else if n > 0 {
			log.Warn("a dead run had left servers or ports in the cloud; they are removed", "run", f.Name(), "removed", n)
		}
	}
	return errors.Join(errs...)
}

// Cleanup removes from the cloud what runs have left there, by its marks alone. What living runs of this machine have is left.
func (r *Runner) Cleanup(ctx context.Context, o ledger.Options) (ledger.Report, error) {
	return cleanup(ctx, r.Config, o)
}

func cleanup(ctx context.Context, c config.Config, o ledger.Options) (ledger.Report, error) {
	section := c.Probes.Cloud
	if section == nil {
		return ledger.Report{}, errors.New("the configuration has no section cloud, where experiments make servers")
	}
	credentials, err := cloud.LoadFile(section.File, section.Name)
	if err != nil {
		return ledger.Report{}, err
	}
	connected, err := cloud.Connect(ctx, credentials)
	if err != nil {
		return ledger.Report{}, err
	}
	o.Owner = section.Owner
	if o.Run == "" {
		o.Living = func(run string) bool { return undo.Living(runsDir(c), run) }
	}
	return ledger.Cleanup(ctx, connected, o)
}
