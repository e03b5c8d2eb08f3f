// Package client is what a thin client needs to get from a user's password to a desktop's address: an interface with one
// method to log in and one to log out, and a driver for each architecture behind it. Each driver is one file: the broker's
// API, and Keystone and Nova asked directly, as desktop clouds without a broker do it.
//
// It links nothing of the broker itself. The classes of errors and the names of steps are the same for all drivers, so that
// two architectures can be compared; package broker and its API take them from here.
package client

import (
	"context"
	"fmt"
	"time"
)

// Driver is a way to a desktop. Its methods may be called by many goroutines at once.
type Driver interface {
	// Login takes a user to a desktop. An error of the way is an *Error.
	Login(context.Context, Login) (*Session, error)
	// Console asks again where the desktop is, with a new ticket: the one of the login may have expired.
	Console(context.Context, *Session) (Console, error)
	// Renew makes the session last for another lease. A driver whose sessions have none does nothing.
	Renew(context.Context, *Session) error
	// Logout ends the session. What becomes of the desktop is the other side's decision. A session that has ended is fine.
	Logout(context.Context, *Session) error
	// Close drops what the driver keeps open. Sessions stay.
	Close() error
}

// Login says who sits where.
type Login struct {
	User       string
	Password   string
	Seat       string            // a place in an office, such as "N2-117"; may be empty
	ThinClient string            // the thin client's own identity, such as its MAC address; may be empty
	Site       string            // may be empty
	Tags       map[string]string // what else allocators decide on; may be empty
}

// Session is a user at a desktop.
type Session struct {
	ID      string // the driver's
	Desktop Desktop
	Console Console
	Steps   []Timing // in their order; each step at most once

	// Elapsed is all that the other side took, as it says itself: what its steps do not explain is its own work between
	// them, and what the driver's caller measured beyond it is the network. 0: it did not say.
	Elapsed time.Duration

	// Lease is how long the session lasts unless Renew is called: a thin client that lost its power never logs out. 0: for
	// good.
	Lease time.Duration

	Credential any // what the driver needs to log out; nobody else reads it
}

// Desktop is a virtual machine of a user's.
type Desktop struct {
	ID        string // OpenStack's, a UUID
	Name      string
	Pool      string // empty where the driver knows no pools
	Allocator string // the rule that chose the pool; empty where the driver knows no rules
}

// Console is where a desktop's SPICE server listens.
type Console struct {
	Host    string
	Port    int       // 0: not offered in the clear
	TLSPort int       // 0: not offered over TLS
	Ticket  string    // a secret; empty where the server takes none
	Expires time.Time // of the ticket; zero: it does not expire
	CA      string    // in PEM form, to check the server's certificate; empty: the system's
	Subject string    // the certificate's subject, such as "O=Example,CN=node17"; empty: the host's name is checked instead
}

// Step is a part of a login.
type Step string

// The steps of a login, in their order. Every driver's steps are among them.
const (
	StepAuth     Step = "auth"     // the password is checked
	StepMatch    Step = "match"    // which rule serves this user; without a broker: which desktop is the seat's
	StepAllocate Step = "allocate" // a desktop becomes the user's
	StepBoot     Step = "boot"     // waiting until it runs
	StepConsole  Step = "console"  // where its console is, with a ticket
)

// Timing is how long a step took on the other side, the network between not included.
type Timing struct {
	Step Step
	Took time.Duration
}

// Class is a kind of failure, one name for each thing that an operator would do about it.
type Class string

// The classes of failed logins.
const (
	WrongPassword   Class = "wrong-password"    // no such user is this one too
	AccountLocked   Class = "account-locked"    // locked, disabled or expired
	DirectoryDown   Class = "directory-down"    // LDAP, or Keystone in front of it, refuses or cannot be reached
	DirectorySlow   Class = "directory-slow"    // it did not answer in time
	NoAllocator     Class = "no-allocator"      // no rule matches the user and there is no default
	PoolEmpty       Class = "pool-empty"        // no desktop is ready, nor was in the time that a login may wait
	DesktopDied     Class = "desktop-died"      // it was there when it was chosen and not when it was handed out
	DesktopBusy     Class = "desktop-busy"      // the desktop bound to the seat or thin client is another user's now
	TokenExpired    Class = "token-expired"     // of the session or the cloud, and it could not be renewed
	CloudFailed     Class = "cloud-failed"      // OpenStack answered with an error
	BuildTimeout    Class = "build-timeout"     // a desktop did not get ready in time
	ConsoleRefused  Class = "console-refused"   // the desktop runs, but where its console is nobody says, or it does not answer
	BrokerDown      Class = "broker-down"       // the broker cannot be reached or does not answer in time
	BrokerFailed    Class = "broker-failed"     // the broker failed for a reason of its own, such as its database
	BadRequest      Class = "bad-request"       // what was asked makes no sense; the message says what
	SessionNotFound Class = "session-not-found" // it has ended, or never was
)

// Error is a failed login or logout.
type Error struct {
	Class     Class
	Step      Step     // empty: before the first one
	Message   string   // for people; no secrets
	RequestID string   // under which the other side's log has it; empty: it gave none
	Steps     []Timing // as far as it came, the step that failed included if its time is known
	Err       error    // may be nil
}

func (e *Error) Error() string {
	text := string(e.Class)
	if e.Step != "" {
		text = fmt.Sprintf("%s: %s", e.Step, text)
	}
	if e.Message != "" {
		text += ": " + e.Message
	} else if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	if e.RequestID != "" {
		text += " (request " + e.RequestID + ")"
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }
