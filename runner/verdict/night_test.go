package verdict

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestNightly(t *testing.T) {
	at := func(day, hour int, o Outcome) Night {
		return Night{Began: time.Date(2026, 11, day, hour, 0, 0, 0, time.Local), Outcome: o}
	}
	unknown := Night{Outcome: Passed}
	got := nightly([]Night{
		unknown, unknown,
		at(1, 22, Passed), at(2, 3, Passed), at(2, 11, NoVerdict), // a night
		at(2, 13, Deviated),                  // the next
		at(4, 2, Passed), at(4, 4, Deviated), // and the one after the next
	})
	require.Equal(t, []Night{unknown, unknown, at(2, 3, Passed), at(2, 13, Deviated), at(4, 4, Deviated)}, got)
}
