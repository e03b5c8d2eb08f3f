package store_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/broker/store"
)

// BenchmarkLogin is what a login and its logout cost in the database, at 10,000 desktops.
func BenchmarkLogin(b *testing.B) {
	s, err := store.Open(b.Context(), "sqlite://"+filepath.Join(b.TempDir(), "broker.db"))
	require.NoError(b, err)
	defer s.Close()
	var ids []string
	for i := range 10_000 {
		ids = append(ids, fmt.Sprintf("d%05d", i))
	}
	_, err = s.AddDesktops(b.Context(), "standard", "spec", len(ids), ids, noon)
	require.NoError(b, err)
	for _, id := range ids[:2000] {
		_, err := s.SetReady(b.Context(), id, noon)
		require.NoError(b, err)
	}
	for i := 0; b.Loop(); i++ {
		session := fmt.Sprintf("s%d", i)
		if _, err := s.Allocate(b.Context(), want(session, fmt.Sprintf("u%d", i), store.BindSession), noon); err != nil {
			b.Fatal(err)
		}
		if _, err := s.EndSession(b.Context(), session, keep, noon); err != nil {
			b.Fatal(err)
		}
	}
}
