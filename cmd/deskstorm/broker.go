package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/deskstorm/deskstorm/broker/config"
	"github.com/deskstorm/deskstorm/broker/service"
	"github.com/deskstorm/deskstorm/internal/logflags"
)

// exitConfiguration is the broker's and the lab's exit code for what never started.
const exitConfiguration = 2

func newBrokerCommand() *cobra.Command {
	var file string
	var log logflags.Flags
	var check bool
	cmd := &cobra.Command{
		Use:   "broker",
		Short: "Serve the broker: LDAP login, allocators, pools of desktops, consoles",
		Long: "Take users to their desktops: check the password in the directory, choose a pool by rules, keep desktops of each\n" +
			"pool ready, and say where a desktop's console is. The API is described at /v1/openapi.yaml, metrics are at /metrics.\n" +
			"An example of the configuration, with every key, is broker/config/broker.yaml.\n" +
			"Exits with 2 if it could not start.",
		Example: "  deskstorm broker --config.file /etc/deskstorm/broker.yaml\n  deskstorm broker --config.file broker.yaml --check",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger, err := log.Logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			loaded, err := config.Load(file)
			if err != nil {
				return couldNotStart(cmd, err)
			}
			if check {
				fmt.Fprintln(cmd.OutOrStdout(), file, "has no mistakes; what it names was not asked")
				return nil
			}
			return serveBroker(ctx, cmd, loaded, logger)
		},
	}
	cmd.Flags().StringVar(&file, "config.file", "broker.yaml", "the configuration")
	cmd.Flags().BoolVar(&check, "check", false, "only read the configuration and say what is wrong in it; the files and servers that it names are not asked")
	log.Register(cmd.Flags(), "info")
	return cmd
}

func serveBroker(ctx context.Context, cmd *cobra.Command, c config.Config, logger *slog.Logger) error {
	s, err := service.Open(ctx, c, logger)
	if err != nil {
		return couldNotStart(cmd, err)
	}
	logger.Info("the broker listens", "url", s.URL)
	return s.Serve(ctx)
}

// couldNotStart says why nothing was started, if so.
func couldNotStart(cmd *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "deskstorm:", err)
	return exitError(exitConfiguration)
}
