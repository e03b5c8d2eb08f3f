// Package target is where faults are injected, and the steps that do it. A step is data: it can be written to a journal, shown to a
// person, and carried out by another process, on another day, as often as it takes. That is why an undo survives the program that
// needs it.
package target

import "context"

// Step is one thing to do at a target. Exactly one of its kinds is set.
type Step struct {
	Target  string   `json:"target"` // its name in the configuration
	Command *Command `json:"command,omitempty"`
	HTTP    *HTTP    `json:"http,omitempty"`
	Server  *Server  `json:"server,omitempty"`
	Start   *Start   `json:"start,omitempty"`
	Signal  *Signal  `json:"signal,omitempty"`
}

// Command is a program to run to its end, on the target's machine and in its network namespace, as an argument vector: no shell
// reads it unless it is one.
type Command struct {
	Argv  []string `json:"argv"`
	Stdin string   `json:"stdin,omitempty"`
	// Fine are exit codes that are as good as 0: "it was gone already".
	Fine []int `json:"fine,omitempty"`
}

// HTTP is a request to the target's base URL: a lab's switches, a broker's API.
type HTTP struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	Body   string `json:"body,omitempty"` // JSON
	Fine   []int  `json:"fine,omitempty"` // statuses besides 2xx that are as good: 404 of what is gone
}

// Server is an action of Nova's on a server of the target's cloud. Each is fine with a server that is in the wanted state already.
type Server struct {
	ID     string   `json:"id,omitempty"`
	IDs    []string `json:"ids,omitempty"` // instead of ID: servers on which it is done side by side
	Action string   `json:"action"`        // start, stop, reboot, delete
}

// Start starts a program that lives on: a relay, a second DHCP server. Its process is found again by PidFile, which is below the
// target's run directory.
type Start struct {
	Argv    []string `json:"argv"`
	PidFile string   `json:"pid_file"`
}

// Signal sends a signal to the process that Start wrote down, or that a daemon of the target has in its own pid file. A process that
// is not there is fine; one whose program is another than Program is left alone.
type Signal struct {
	PidFile string `json:"pid_file"`
	Program string `json:"program"` // the base name of its executable
	Signal  string `json:"signal"`  // "TERM", "KILL", "STOP", "CONT"
}

// Executor carries out steps at the targets that the configuration names.
type Executor interface {
	Do(ctx context.Context, s Step) (output string, err error)
}
