// Package spice is a thin client without a screen: it opens a SPICE session to
// a desktop, types on it, moves its mouse, and measures how long the desktop
// takes to answer. It is made to be held open by the thousand.
//
// Dial opens the main, display, inputs and cursor channels and returns a
// Session when the first picture has come. The session then answers whatever
// the server asks of a client, counts what is drawn, and decodes pixels only
// while a visible round trip is measured, and then only in the few rows that
// the probe looks at.
//
// # Round trips
//
// Session.RoundTrip measures one of three, each of which leaves out a part of
// the way of the one before it:
//
//   - ServerTrip: four mouse motions until the server's MOTION_ACK. The guest
//     takes no part in it.
//   - GuestTrip: Scroll Lock until KEY_MODIFIERS, which the guest's own keyboard
//     driver causes by setting the light.
//   - VisibleTrip: a key until the drawing whose pixels show it.
//
// An answer that misses its deadline is a *LostError, never a long sample, and
// Monitor sends its probes by the clock whatever became of the earlier ones.
//
// # Bounds
//
// A session between probes holds four sockets, four goroutines and buffers of
// less than 16 KiB. Message bodies are skipped as they arrive unless they are
// needed. While a probe looks at pixels, a drawing's body and its pixels take at
// most 16 MiB each (maxDrawing), and all that a probe keeps less than 8 MiB; any
// other message takes 4 KiB. A body that stalls for 30 seconds ends the session.
package spice
