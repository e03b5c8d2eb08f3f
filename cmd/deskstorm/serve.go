package main

import (
	"github.com/spf13/cobra"

	"github.com/deskstorm/deskstorm/runner/serve"
)

func newServeCommand() *cobra.Command {
	var (
		flags runnerFlags
		o     serve.Options
	)
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run experiments on a schedule, with a page, an API and metrics",
		Long: "Run the experiments of the configuration's schedule when they are due. What dead runs left behind is ended first.\n" +
			"A page shows what runs next, what runs and what ran, and starts, cancels and pauses; /metrics is for Prometheus.\n" +
			"Exits with 2 if it could not start. SIGTERM cancels what runs and undoes its faults; a second one ends at once.",
		Example: "  deskstorm serve --config.file /etc/deskstorm/deskstorm.yaml\n" +
			"  deskstorm serve --web.listen-address :9878 --web.config.file web.yaml",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, log, err := flags.open(cmd)
			if err != nil {
				return complain(cmd, err)
			}
			defer func() {
				if err := r.Close(); err != nil {
					log.Error("the history could not be closed", "error", err)
				}
			}()
			if err := r.Serve(cmd.Context(), o); err != nil {
				return complain(cmd, err)
			}
			return nil
		},
	}
	cmd.Flags().StringArrayVar(&o.Addresses, "web.listen-address", []string{serve.DefaultAddress}, "address to listen on; can be repeated")
	cmd.Flags().StringVar(&o.WebConfigFile, "web.config.file", "", "TLS and basic authentication, see exporter-toolkit's web configuration")
	cmd.Flags().BoolVar(&o.Unauthenticated, "web.allow-unauthenticated", false, "allow addresses that others can reach although nobody has to say who they are")
	flags.register(cmd.Flags(), "info")
	return cmd
}
