// Command guest is the first process of a virtual thin client: it loads the modules that it finds, and runs the agent, whose
// reports go to the first serial port, a line each.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/deskstorm/deskstorm/exporters/activeusers/agent"
	"github.com/deskstorm/deskstorm/internal/activity"
)

func main() {
	err := run()
	fmt.Println("guest:", err)
	time.Sleep(time.Hour) // the kernel panics when its first process ends
}

func run() error {
	for _, m := range []struct{ kind, at string }{{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}} {
		if err := os.MkdirAll(m.at, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.at, m.kind, 0, ""); err != nil && err != unix.EBUSY {
			return fmt.Errorf("mounting %s: %w", m.at, err)
		}
	}
	modules, err := os.ReadDir("/modules") // by name, which begins with a number
	if err != nil {
		return err
	}
	for _, m := range modules {
		f, err := os.Open("/modules/" + m.Name())
		if err != nil {
			return err
		}
		if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil {
			return fmt.Errorf("loading %s: %w", m.Name(), err)
		}
	}
	c := agent.Default()
	c.Client, c.Interval = "tc-1", time.Second
	return agent.Run(context.Background(), c, serial{}, slog.New(slog.NewTextHandler(os.Stdout, nil)))
}

// serial prints reports.
type serial struct{}

func (serial) Send(_ context.Context, reports []activity.Report) ([]activity.Result, error) {
	results := make([]activity.Result, len(reports))
	for i, r := range reports {
		text, err := json.Marshal(r)
		if err != nil {
			return nil, err
		}
		fmt.Printf("report %s\n", text)
		results[i] = activity.Accepted
	}
	return results, nil
}
