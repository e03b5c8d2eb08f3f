// Package command is the command line of the exporters: `deskstorm exporter`, and deskstorm-exporter, which is the same without
// k6 in the binary.
package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/deskstorm/deskstorm/exporters"
	"github.com/deskstorm/deskstorm/internal/logflags"
)

// New is the command, called name. What keeps it from starting is a NotStarted.
func New(name string) *cobra.Command {
	var file string
	var check bool
	var log logflags.Flags
	var o exporters.Options
	cmd := &cobra.Command{
		Use:   name + " [EXPORTER ...]",
		Short: "Serve metrics that no other exporter has: " + strings.Join(exporters.Names(), ", "),
		Long: "Serve Prometheus metrics of the exporters named, or of all that the configuration has. Clouds, brokers and hosts are\n" +
			"asked in the background; a scrape is served from memory, with the age of what it serves.\n" +
			"An example of the configuration, with every key, is exporters/exporter.yaml; all metrics are in docs/exporter-metrics.md.\n" +
			"Exits with 2 if it could not start.",
		Example:       "  deskstorm exporter --config.file exporter.yaml\n  deskstorm-exporter dhcp ports --config.file /etc/deskstorm/exporter.yaml",
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, names []string) error {
			logger, err := log.Logger(cmd.ErrOrStderr())
			if err != nil {
				return NotStarted{err}
			}
			o.Log = logger
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			config, err := exporters.Load(file)
			if errors.Is(err, fs.ErrNotExist) {
				err = fmt.Errorf("%w; name it with --config.file", err)
			}
			if err != nil {
				return NotStarted{err}
			}
			if check {
				if err := config.Check(names); err != nil {
					return NotStarted{err}
				}
				fmt.Fprintln(cmd.OutOrStdout(), file, "has no mistakes; what it names was not asked")
				return nil
			}
			return serve(ctx, config, names, o)
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return NotStarted{err} })
	flags := cmd.Flags()
	flags.StringVar(&file, "config.file", "exporter.yaml", "the configuration")
	flags.BoolVar(&check, "check", false, "only read the configuration and say what is wrong in it; the files and servers that it names are not asked")
	flags.StringSliceVar(&o.Addresses, "web.listen-address", []string{":9877"}, "`host:port` to serve on; may be repeated")
	flags.StringVar(&o.WebConfigFile, "web.config.file", "", "TLS and basic authentication, as Prometheus' exporters have them")
	flags.StringVar(&o.TelemetryPath, "web.telemetry-path", "/metrics", "where the metrics are")
	log.Register(flags, "info")
	return cmd
}

func serve(ctx context.Context, config exporters.Config, names []string, o exporters.Options) error {
	made, err := config.Open(names, o.Log)
	if err != nil {
		return NotStarted{err}
	}
	s, err := exporters.Listen(made, o)
	if err != nil {
		return NotStarted{err}
	}
	for _, a := range s.Addresses {
		o.Log.Info("the exporter listens", "address", a)
	}
	return s.Serve(ctx)
}

// NotStarted is why there is no exporter: a mistake in the configuration, a port that is taken. The commands exit with 2 then.
type NotStarted struct{ error }

// Unwrap is the error itself.
func (n NotStarted) Unwrap() error { return n.error }
