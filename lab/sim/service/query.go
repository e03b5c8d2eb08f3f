package service

import "net/url"

// Query is a request's query, as lists are filtered by it.
type Query struct{ url.Values }

// Allows tells whether what has a value for a name is asked for: the query does not have the name, or has this value for it.
func (q Query) Allows(name, value string) bool { return !q.Has(name) || q.Get(name) == value }
