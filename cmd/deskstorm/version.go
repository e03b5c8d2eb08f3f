package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the versions of deskstorm, k6 and Go",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			info, _ := debug.ReadBuildInfo()
			_, err := fmt.Fprintln(cmd.OutOrStdout(), versionText(info))
			return err
		},
	}
}

// versionText says what the binary was built from, as far as the build recorded it; info may be nil.
func versionText(info *debug.BuildInfo) string {
	own, k6 := "(devel)", "(unknown)"
	if info == nil {
		info = &debug.BuildInfo{}
	}
	if info.Main.Version != "" {
		own = info.Main.Version
	}
	for _, dep := range info.Deps {
		if dep.Path == "go.k6.io/k6/v2" {
			k6 = dep.Version
		}
	}
	return fmt.Sprintf("deskstorm %s, k6 %s, %s %s/%s", own, k6, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
