package fault

import (
	"context"
	"fmt"
	"strings"

	"github.com/deskstorm/deskstorm/runner/target"
)

// tableName is the nftables table of a fault: all that it has in the packet filter, and nothing else.
func (r *request) tableName() string { return "deskstorm_" + r.ID }

func nft(script string, options ...string) target.Step {
	return target.Step{Command: &target.Command{Argv: append([]string{"nft"}, append(options, "-f", "-")...), Stdin: script}}
}

// filters adds a table with a body to the packet filter, in one transaction, and deletes it. The kernel is asked before whether it
// would take it.
func (r *request) filters(ctx context.Context, body string) error {
	if err := r.needs(ctx, "nft", "nftables"); err != nil {
		return err
	}
	script := fmt.Sprintf("table inet %s {\n%s}\n", r.tableName(), body)
	if said, err := r.look(ctx, nft(script, "--check")); err != nil {
		return fmt.Errorf("asking the kernel whether it can filter packets so: %w: %s", err, firstLine(said))
	}
	r.applies(nft(script))
	r.undoes(r.unfilters())
	return nil
}

// unfilters adds the table before it deletes it: one that is not there cannot be deleted, and delete table has no way to say that this
// is fine (destroy has, from Linux 6.3 on).
func (r *request) unfilters() target.Step {
	return nft(fmt.Sprintf("add table inet %s\ndelete table inet %s\n", r.tableName(), r.tableName()))
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
