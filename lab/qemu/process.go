package qemu

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/deskstorm/deskstorm/internal/child"
)

// errPortTaken says that another program listens on a port QEMU was told to use.
var errPortTaken = errors.New("a port was taken by another program")

// startProcess starts QEMU.
func startProcess(cmd *exec.Cmd) (*child.Process, error) {
	cmd.WaitDelay = time.Second // for a child of QEMU that keeps stderr open
	return child.Start(cmd)
}

// explain kills QEMU and returns err with the end of what it wrote.
func explain(p *child.Process, err error) error {
	p.Kill()
	said := p.Said.String()
	// spice-server, reds.cpp: "binding socket to HOST:PORT failed".
	if strings.Contains(said, "binding socket to") {
		err = errors.Join(errPortTaken, err)
	}
	if said == "" {
		return err
	}
	return fmt.Errorf("%w; QEMU wrote: %s", err, said)
}
