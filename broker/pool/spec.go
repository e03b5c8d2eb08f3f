package pool

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/deskstorm/deskstorm/broker/store"
)

// Spec says what desktops a pool has, and how many.
type Spec struct {
	Name             string
	Flavor           string // names or ids, as the cloud knows them
	Image            string
	Networks         []string // empty: servers without one
	AvailabilityZone string   // empty: the scheduler's choice
	UserData         []byte   // for cloud-init or cloudbase-init; may be nil

	Ready        int           // how many are kept available
	Max          int           // of all the pool's desktops, those included that are being built or deleted
	Boots        int           // how many may be built at once
	Wait         time.Duration // how long a login may wait for a desktop
	BuildTimeout time.Duration // from the decision to build a desktop until it must be ready
	CheckEvery   time.Duration // between two inspections
	Keep         bool          // a desktop whose binding ends is handed out again as it is, instead of being replaced
}

// ServerName is what a desktop's server is called.
func ServerName(d store.Desktop) string { return d.Pool + "-" + d.ID[:min(8, len(d.ID))] }

// ID is the same for specifications whose desktops are the same.
func (s Spec) ID() string {
	// Marshalling texts and numbers cannot fail.
	text, _ := json.Marshal([]any{s.Flavor, s.Image, s.Networks, s.AvailabilityZone, s.UserData})
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}
