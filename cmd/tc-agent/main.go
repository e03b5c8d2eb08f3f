// Command tc-agent runs on a thin client and tells the exporter of active users how much input there was, never which, and how
// the thin client is.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/deskstorm/deskstorm/exporters/activeusers/agent"
	"github.com/deskstorm/deskstorm/internal/activity"
	"github.com/deskstorm/deskstorm/internal/authority"
)

// version is set by the linker: -ldflags "-X main.version=1.2.3".
var version = "devel"

// tokenVariable is the environment variable that may hold the token.
const tokenVariable = "TC_AGENT_TOKEN"

// errUsage is a mistake in the command line.
var errUsage = errors.New("see tc-agent -help")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var err error
	if len(os.Args) > 1 && os.Args[1] == "token" {
		err = printTokens(os.Args[2:], os.Stdout)
	} else {
		err = run(ctx, os.Args[1:])
	}
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, "tc-agent:", err)
		os.Exit(2)
	}
	fmt.Fprintln(os.Stderr, "tc-agent:", err)
	os.Exit(1)
}

// flagSet is flags whose help begins with how they are used.
func flagSet(synopses ...string) *flag.FlagSet {
	flags := flag.NewFlagSet("tc-agent", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "Usage:\n  "+strings.Join(synopses, "\n  "))
		flags.PrintDefaults()
	}
	return flags
}

func run(ctx context.Context, args []string) error {
	c := agent.Default()
	c.Version = version
	c.Client, _ = os.Hostname() // an empty name is refused later
	flags := flagSet("tc-agent -exporter URL [OPTION ...]", "tc-agent token -secret-file FILE [-site] NAME ...")
	exporter := flags.String("exporter", "", "the exporter's `URL`: https://exporter.example:9877")
	tokenFile := flags.String("token-file", "", "a `file` with the token; else "+tokenVariable+" in the environment")
	caFile := flags.String("ca-file", "", "a `file` with the authority of the exporter's certificate (PEM); else the system's")
	flags.StringVar(&c.Client, "client", c.Client, "this thin client's `name`")
	flags.StringVar(&c.Site, "site", "", "its site, for an exporter without an inventory")
	flags.StringVar(&c.Department, "department", "", "its department, likewise")
	flags.DurationVar(&c.Interval, "interval", c.Interval, "between reports, 1s to 10m")
	flags.IntVar(&c.Queue, "queue", c.Queue, "reports that wait at most while the exporter is away")
	flags.StringVar(&c.InputDir, "input-dir", c.InputDir, "the `folder` of input devices")
	flags.StringVar(&c.DisplayClient, "display-client", "", "the `process` that shows the desktop: connected while it runs")
	flags.StringVar(&c.DisplayLog, "display-log", "", "its log `file`, whose errors are counted")
	errorsLike := flags.String("display-errors", c.DisplayErrors.String(), "a regular `expression` that an error's line matches")
	flags.StringVar(&c.Disk, "disk", c.Disk, "a `path` on the disk whose free space is told; empty: none")
	showVersion := flags.Bool("version", false, "print the version")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if *showVersion {
		fmt.Println("tc-agent", version)
		return nil
	}
	var err error
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected %q; %w", flags.Arg(0), errUsage)
	}
	if c.DisplayErrors, err = regexp.Compile(*errorsLike); err != nil {
		return fmt.Errorf("-display-errors: %v; %w", err, errUsage)
	}
	token, err := readToken(*tokenFile)
	if err != nil {
		return err
	}
	client, err := newHTTPClient(*caFile)
	if err != nil {
		return err
	}
	to, err := activity.NewClient(*exporter, token, client)
	if err != nil {
		return fmt.Errorf("-exporter: %w", err)
	}
	return agent.Run(ctx, c, to, slog.New(slog.NewTextHandler(os.Stderr, nil)))
}

// maxSmall bounds tokens, secrets and certificates.
const maxSmall = 1 << 20

func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSmall))
}

func readToken(path string) (string, error) {
	token := os.Getenv(tokenVariable)
	if path != "" {
		text, err := readSmall(path)
		if err != nil {
			return "", fmt.Errorf("reading the token: %w", err)
		}
		token = string(text)
	}
	token = strings.TrimSpace(token)
	if token == "" {
		return "", fmt.Errorf("there is no token; give -token-file or %s", tokenVariable)
	}
	return token, nil
}

func newHTTPClient(caFile string) (*http.Client, error) {
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: 90 * time.Second,
		MaxIdleConns: 1, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if caFile != "" {
		pool, err := authority.Read(caFile)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}, nil
}

// printTokens prints a token for each client or site, for the operator who has the exporter's secret.
func printTokens(args []string, out io.Writer) error {
	flags := flagSet("tc-agent token -secret-file FILE [-site] NAME ...")
	secretFile := flags.String("secret-file", "", "a `file` with the exporter's secret; required")
	site := flags.Bool("site", false, "the names are sites; such a token speaks for all clients of its site")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if *secretFile == "" || flags.NArg() == 0 {
		return fmt.Errorf("tc-agent token -secret-file FILE NAME...; %w", errUsage)
	}
	text, err := readSmall(*secretFile)
	if err != nil {
		return fmt.Errorf("reading the secret: %w", err)
	}
	secret := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if secret == "" {
		return errors.New("reading the secret: the file is empty")
	}
	tokenOf := activity.ClientToken
	if *site {
		tokenOf = activity.SiteToken
	}
	for _, name := range flags.Args() {
		if _, err := fmt.Fprintln(out, name, tokenOf(secret, name)); err != nil {
			return err
		}
	}
	return nil
}
