package demo

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/deskstorm/deskstorm/internal/k6process"
)

// stopTimeout is what k6 gets between its SIGINT and its SIGKILL.
const stopTimeout = 10 * time.Second

// window is how fine the picture is in time: what happens is seen two or three windows later.
const window = 500 * time.Millisecond

// startK6 starts k6, the process with the thin clients, with a script and variables for it. The end of ctx stops it.
func startK6(ctx context.Context, command []string, script []byte, variables []string) (*k6process.Process, error) {
	return k6process.Start(ctx, k6process.Config{
		Command: command,
		Args:    []string{"--no-thresholds"}, // what is broken on purpose would break them
		Script:  k6process.Script{Source: script},
		Env:     k6process.Environment(os.Environ(), false, variables...), // never another cloud than the demo's
		Window:  window,
		Grace:   stopTimeout,
	})
}

// explain ends k6 and returns err with what k6 wrote last.
func explain(k6 *k6process.Process, err error) error {
	k6.Stop()
	for range k6.Results { // so that it does not block on the pipe
	}
	if said := k6.Wait().Said; said != "" {
		return fmt.Errorf("%w; k6 wrote:\n%s", err, said)
	}
	return err
}

// harness is what the demo has cost so far, with that of a k6 that has ended.
func harness(k6 k6process.Exit) Harness {
	h := Harness{K6CPUSeconds: k6.CPU.Seconds(), K6MemoryBytes: k6.MaxRSS}
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err == nil {
		h.CloudCPUSeconds = time.Duration(own.Utime.Nano() + own.Stime.Nano()).Seconds()
	}
	return h
}
