package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/digitalocean/go-qemu/qmp"
)

const (
	dialTimeout  = 2 * time.Second
	pollInterval = 10 * time.Millisecond
)

// execute runs one QMP command and decodes its return value into result, if that is not nil.
//
// Every command has a connection of its own: the monitor of go-qemu knows no contexts, and hands out a slice of its read
// buffer while it reads on, which matters less the shorter a connection lives.
func (d *Desktop) execute(ctx context.Context, command string, args, result any) error {
	request, err := json.Marshal(qmp.Command{Execute: command, Args: args})
	if err != nil {
		return fmt.Errorf("QMP %s: %w", command, err)
	}
	type answer struct {
		raw []byte
		err error
	}
	answered := make(chan answer, 1)
	go func() { // ends with QEMU at the latest
		raw, err := executeOn(ctx, d.monitor, request)
		answered <- answer{raw, err}
	}()
	select {
	case a := <-answered:
		if a.err != nil {
			return fmt.Errorf("QMP %s: %w", command, a.err)
		}
		if result == nil {
			return nil
		}
		if err := json.Unmarshal(a.raw, &struct{ Return any }{result}); err != nil {
			return fmt.Errorf("QMP %s: decoding its answer: %w", command, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("QMP %s: %w", command, ctx.Err())
	}
}

func executeOn(ctx context.Context, socket string, request []byte) ([]byte, error) {
	for ctx.Err() == nil {
		raw, err := executeOnce(socket, request)
		if !errors.Is(err, errOutOfStep) {
			return raw, err
		}
	}
	return nil, ctx.Err()
}

// errOutOfStep says that a command was not sent, because its answer would not have been known.
var errOutOfStep = errors.New("the monitor takes answers for those of other commands")

func executeOnce(socket string, request []byte) ([]byte, error) {
	monitor, err := qmp.NewSocketMonitor("unix", socket, dialTimeout)
	if err != nil {
		return nil, err
	}
	defer monitor.Disconnect() // before another attempt: QEMU serves one connection at a time
	if err := monitor.Connect(); err != nil {
		return nil, err
	}
	if ok, err := inStep(monitor); err != nil {
		return nil, err
	} else if !ok {
		return nil, errOutOfStep
	}
	return monitor.Run(request)
}

// inStep tells whether the monitor gives each command its own answer. It takes whatever comes first for the answer to its
// handshake; when that is an event, as it is at each second connection while SPICE clients come and go, every later
// answer is that of the command before. So ask something harmless first, by which an answer is known.
func inStep(monitor *qmp.SocketMonitor) (bool, error) {
	const id = "in step"
	raw, err := monitor.Run([]byte(`{"execute": "query-status", "id": "` + id + `"}`))
	if err != nil {
		return false, err
	}
	var answer struct {
		ID string `json:"id"`
	}
	err = json.Unmarshal(raw, &answer)
	return answer.ID == id, err
}

// status is the return value of query-status, as far as it is used.
type status struct {
	Status string `json:"status"`
}

// waitMonitor waits until QEMU takes commands.
func (d *Desktop) waitMonitor(ctx context.Context) error {
	return d.poll(ctx, "QEMU to take commands", func() (bool, error) {
		return d.execute(ctx, "query-status", nil, nil) == nil, nil
	})
}

// poll calls reached until it returns true or an error, QEMU has ended, or ctx is done.
func (d *Desktop) poll(ctx context.Context, what string, reached func() (bool, error)) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		ok, err := reached()
		if err != nil {
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
		if ok {
			return nil
		}
		select {
		case <-tick.C:
		case <-d.process.Done:
			return fmt.Errorf("waiting for %s: %w", what, errors.New("QEMU has ended"))
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		}
	}
}

// Pause stops the guest's processor. QEMU and its SPICE server go on.
func (d *Desktop) Pause(ctx context.Context) error { return d.execute(ctx, "stop", nil, nil) }

// Resume lets a paused guest go on.
func (d *Desktop) Resume(ctx context.Context) error { return d.execute(ctx, "cont", nil, nil) }

// SetTicket replaces the ticket that clients must give, from now on and for validFor, which is rounded up to seconds; 0
// means without end. It must be neither empty nor longer than 60 bytes. Clients that are connected stay so. It fails on a
// desktop that was started without a ticket.
func (d *Desktop) SetTicket(ctx context.Context, ticket string, validFor time.Duration) error {
	if ticket == "" {
		return errors.New("setting a desktop's ticket: it is empty")
	}
	if validFor < 0 {
		return errors.New("setting a desktop's ticket: its validity is negative")
	}
	if err := checkTicket(ticket); err != nil {
		return fmt.Errorf("setting a desktop's ticket: %w", err)
	}
	end := "never"
	if validFor > 0 {
		end = fmt.Sprintf("+%d", (validFor+time.Second-1)/time.Second)
	}
	password := map[string]any{"protocol": "spice", "password": ticket, "connected": "keep"}
	if err := d.execute(ctx, "set_password", password, nil); err != nil {
		return fmt.Errorf("setting a desktop's ticket: %w", err)
	}
	if err := d.execute(ctx, "expire_password", map[string]any{"protocol": "spice", "time": end}, nil); err != nil {
		return fmt.Errorf("setting a desktop's ticket: %w", err)
	}
	return nil
}
