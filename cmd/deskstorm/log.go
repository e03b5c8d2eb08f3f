package main

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/pflag"
)

// logFlags are Prometheus' flags for logs.
type logFlags struct{ level, format string }

func (l *logFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&l.level, "log.level", "info", "debug, info, warn or error")
	flags.StringVar(&l.format, "log.format", "logfmt", "logfmt or json")
}

func (l *logFlags) logger(to io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.level)); err != nil {
		return nil, fmt.Errorf("--log.level %q is none of debug, info, warn and error", l.level)
	}
	options := &slog.HandlerOptions{Level: level}
	switch l.format {
	case "logfmt":
		return slog.New(slog.NewTextHandler(to, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(to, options)), nil
	}
	return nil, fmt.Errorf("--log.format %q is neither logfmt nor json", l.format)
}
