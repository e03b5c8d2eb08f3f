package fault_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/deskstorm/deskstorm/runner/fault/relay"
)

// asRelay is the argument with which this program is the relay, as deskstorm relay is.
const asRelay = "relay-of-a-test"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == asRelay {
		if err := relay.Run(context.Background(), os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}
