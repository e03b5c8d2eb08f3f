package store

import (
	"context"

	"github.com/deskstorm/deskstorm/internal/database"
)

// transaction is one, with what the store does in several of them.
type transaction struct{ *database.Tx }

// transact runs a function in a transaction, again if another one was in its way.
func (s *Store) transact(ctx context.Context, f func(*transaction) error) error {
	return s.db.Transact(ctx, func(tx *database.Tx) error { return f(&transaction{tx}) })
}
