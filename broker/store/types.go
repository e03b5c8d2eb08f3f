package store

import "time"

// State is where a desktop stands in its life.
//
//	building -> ready -> assigned -> deleting -> (gone)
//
// A broken desktop goes to deleting from anywhere; a kept one that is released goes from assigned to ready.
type State string

// The states of a desktop.
const (
	Building State = "building" // asked of the cloud, or about to be
	Ready    State = "ready"    // runs, answers, and nobody has it
	Assigned State = "assigned" // bound, or in a session
	Deleting State = "deleting" // the cloud is asked to delete it; when it is gone the row goes too
)

// Desktop is a virtual machine of a pool.
type Desktop struct {
	ID       string // the broker's own, a UUID, known before the cloud is asked for it
	Pool     string
	Spec     string // identifies the pool's specification that it was built from
	ServerID string // OpenStack's UUID; empty until the cloud has answered
	State    State
	Draining bool      // not handed out again; deleted when its session ends
	Broken   time.Time // since when it is known to be; zero: it is not
	Reason   string    // why it is broken, for people
	Created  time.Time // when the broker decided to build it
	Ready    time.Time // when it first was ready; zero: not yet
	Changed  time.Time // of its state
}

// BindingKind says what a binding's key is.
type BindingKind string

// The kinds of bindings.
const (
	BindUser       BindingKind = "user"
	BindSeat       BindingKind = "seat"
	BindThinClient BindingKind = "thin_client"
	BindSession    BindingKind = "session" // ends with the session; the key is the user: a second login takes the first one over
)

// Binding gives a desktop to a user, a seat, a thin client, or for one session only. Within a pool a key has one desktop; a
// desktop has one binding.
type Binding struct {
	Kind      BindingKind
	Key       string
	Pool      string
	DesktopID string
	Created   time.Time
}

// Session is a user who was given a desktop. A desktop has one session at most: the next login to it ends the one before.
type Session struct {
	ID         string // the hash of what the thin client holds: the database's readers cannot end sessions with it
	User       string
	Seat       string
	ThinClient string
	Site       string
	DesktopID  string
	Allocator  string
	Began      time.Time
}
