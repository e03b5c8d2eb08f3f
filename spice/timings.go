package spice

import "time"

// Step is a part of opening a session.
type Step string

// The steps of Dial, in their order.
const (
	// StepLink: TCP, TLS where asked, and main's link messages.
	StepLink Step = "link"
	// StepAuth: the ticket on main.
	StepAuth Step = "auth"
	// StepMain: main's INIT, the list of channels, and all channels open.
	StepMain Step = "main"
	// StepPicture: from there to the first drawing on the screen.
	StepPicture Step = "picture"
)

// Timings are the durations of Dial's steps.
type Timings struct{ Link, Auth, Main, Picture time.Duration }

// Total is the sum of the steps: what a person waits for a desktop.
func (t Timings) Total() time.Duration { return t.Link + t.Auth + t.Main + t.Picture }
