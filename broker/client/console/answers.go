package console

import (
	"context"
	"errors"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/spice"
)

// Answers asks the SPICE server of a console whether it answers and takes the ticket, without opening a session: a thin
// client that is there stays. An error is ErrRefused, unless the context was cancelled; no
// answer before its deadline is a refusal too.
func Answers(ctx context.Context, c client.Console) error {
	config, err := Config(c, spice.Config{})
	if err != nil {
		return refusal(err)
	}
	err = spice.Reach(ctx, config)
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	return refusal(err)
}
