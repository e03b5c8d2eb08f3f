// Package screen is the desktop's side of SPICE: enough of a server to stand
// for thousands of desktops in one process. Labs, demos and benchmarks connect
// thin clients to it where real desktops would be too large or too slow.
//
// A [Desktop] is a guest with a keyboard and an 80x25 text screen, behind a
// server that behaves as QEMU's spice-server does where a thin client can see
// it: the link with its ticket, the eviction of an earlier client, ACK windows,
// PING, motion acks, and keyboard lights that the server sends by itself two
// seconds after a lock key even if the guest is dead. A [Farm] is many
// desktops, a port each, that share a key and a clock.
//
// The guest echoes printable keys of the US layout at its caret; Enter goes to
// the next row (from the last one to a cleared screen's first), Backspace
// erases to the left within the row, lock keys set the lights, and F12 hangs
// it. A desktop remembers the text of its current row only: a client that
// connects later sees the other rows blank.
//
// It differs from spice-server in what makes it cheap: one RSA key for all
// links of a process, where spice-server makes one a link (four a session,
// which would be most of the load), tickets that are decrypted only if the
// desktop has one, no bandwidth test after main's INIT, and no sound, agent,
// USB or migration. It also sends SET_ACK on main and inputs, which
// spice-server does on display and cursor alone. Of a client without mini
// headers it takes no sub-messages: their list is not read.
package screen
