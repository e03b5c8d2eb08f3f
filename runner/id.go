package runner

import (
	"crypto/rand"
	"encoding/hex"
	"regexp"
	"time"
)

// newID returns a run's id, such as 20261126T021500-7f3a9c: it sorts by time, and fits into names of files, tags and network devices'
// tables.
func newID(now time.Time) string {
	var b [3]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return now.UTC().Format("20060102T150405") + "-" + hex.EncodeToString(b[:])
}

// isID says whether a name is a run's id.
func isID(name string) bool {
	return regexp.MustCompile(`^[0-9]{8}T[0-9]{6}-[0-9a-f]{6}$`).MatchString(name)
}
