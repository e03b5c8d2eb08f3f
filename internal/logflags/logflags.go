// Package logflags makes a command's logger of the flags that Prometheus' programs have for it.
package logflags

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/pflag"
)

// Flags are --log.level and --log.format.
type Flags struct{ level, format string }

// Register adds the flags; level is the default of --log.level.
func (l *Flags) Register(flags *pflag.FlagSet, level string) {
	flags.StringVar(&l.level, "log.level", level, "debug, info, warn or error")
	flags.StringVar(&l.format, "log.format", "logfmt", "logfmt or json")
}

// Logger makes the logger; an error names a flag's value that is none.
func (l *Flags) Logger(to io.Writer) (*slog.Logger, error) {
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
