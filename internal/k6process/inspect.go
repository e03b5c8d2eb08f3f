package k6process

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"time"

	"github.com/deskstorm/deskstorm/internal/child"
)

// Needs is what a script asks for, with the options of its environment (K6_VUS and so on).
type Needs struct {
	VUs      int           // the most virtual users at a time
	Duration time.Duration // the longest that its scenarios may take, without setup and teardown
}

// Inspect has k6 read a script, as it would to run it, without running it. It takes less than a second.
func Inspect(ctx context.Context, command []string, script Script, env []string) (Needs, error) {
	cmd := exec.CommandContext(ctx, command[0], slices.Concat(command[1:],
		[]string{"inspect", "--no-color", "--execution-requirements", "--include-system-env-vars"})...)
	script.apply(cmd)
	cmd.Env = env
	var out bytes.Buffer
	cmd.Stdout = &out
	cmd.WaitDelay = time.Second
	p, err := child.Start(cmd)
	if err != nil {
		return Needs{}, fmt.Errorf("starting k6: %w", err)
	}
	<-p.Done
	if ctx.Err() != nil {
		return Needs{}, ctx.Err()
	}
	if p.Err != nil {
		return Needs{}, fmt.Errorf("k6 does not take it (exit status %d): %s", p.ProcessState.ExitCode(), p.Said)
	}
	var answer struct {
		TotalDuration string `json:"totalDuration"`
		MaxVUs        int    `json:"maxVUs"`
	}
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		return Needs{}, fmt.Errorf("reading what k6 says of the script: %w", err)
	}
	needs := Needs{VUs: answer.MaxVUs}
	if needs.Duration, err = time.ParseDuration(answer.TotalDuration); err != nil {
		return Needs{}, fmt.Errorf("reading what k6 says of the script's duration: %w", err)
	}
	return needs, nil
}
