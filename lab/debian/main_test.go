package debian_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/deskstorm/deskstorm/broker/config"
	"github.com/deskstorm/deskstorm/broker/service"
	"github.com/deskstorm/deskstorm/lab/debian"
)

// TestMain is also deskstorm itself, as the lab and TestOrdinaryUser run it: without k6, which takes minutes to compile.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) == 4 && os.Args[1] == "broker":
		end(serveBroker(os.Args[3]))
	case len(os.Args) == 3 && os.Args[1] == "up":
		_, err := debian.Up(context.Background(), options(os.Args[2]), func(string) {})
		end(err)
	}
	os.Exit(m.Run())
}

func end(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serveBroker(file string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	loaded, err := config.Load(file)
	if err != nil {
		return err
	}
	s, err := service.Open(ctx, loaded, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	return s.Serve(ctx)
}

// options are of a small lab in a folder.
func options(dir string) debian.Options {
	return debian.Options{
		Dir: dir, Cache: debian.DefaultCache, Address: "127.67.0.9", Computes: 2, Users: 20, Desktops: 3, Ready: 2, VirtType: "qemu",
		Program: []string{"/proc/self/exe"},
	}
}
