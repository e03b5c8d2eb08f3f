package fault

import (
	"context"
	"fmt"
	"hash/fnv"
	"strings"
)

// queues puts a queueing discipline (tc(8)) at the root of a device, and takes it away. Devices have one of the kernel's own there, or
// none, which comes back by itself; one that somebody else put there is refused.
func (r *request) queues(ctx context.Context, device, discipline string, options ...string) error {
	if err := r.needs(ctx, "tc", "iproute2"); err != nil {
		return err
	}
	said, err := r.look(ctx, command("tc", "qdisc", "show", "dev", device, "root"))
	if err != nil {
		return fmt.Errorf("looking at the queues of %s: %w", device, err)
	}
	// "qdisc noqueue 0: root refcnt 2": 0 is the handle of one that the kernel put there.
	if words := strings.Fields(said); len(words) > 2 && words[2] != "0:" {
		return fmt.Errorf("the device %s has queues that somebody made, %s %s: the fault would replace them, and could not bring them back",
			device, words[1], words[2])
	}
	handle := r.handle()
	add := append([]string{"tc", "qdisc", "add", "dev", device, "root", "handle", handle, discipline}, options...)
	r.applies(command(add...))
	// By its handle: the device may be gone, and the queues somebody else's by now.
	const del = `case "$(tc qdisc show dev "$1" root 2>/dev/null)" in "qdisc $3 $2 "*) exec tc qdisc del dev "$1" root handle "$2" ;; esac`
	r.undoes(shell(del, device, handle, discipline))
	return nil
}

// handle is a queueing discipline's number, made of the plan's ID. The kernel chooses its own from 8000 on.
func (r *request) handle() string { return fmt.Sprintf("%x:", 0x4000+r.number(0x4000)) }

// number is made of the plan's ID, from 0 to below n.
func (r *request) number(n uint32) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(r.ID))
	return h.Sum32() % n
}
