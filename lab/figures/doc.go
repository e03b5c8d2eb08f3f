// Package figures measures what deskstorm itself costs and how exact it is, as
// benchmarks: the memory of an open session and of a virtual user with one,
// connects a second, and the error of measured round trips. The desktops run in
// a process of their own on the same machine. docs/benchmarks.md has results.
package figures
