// Package vdi is the k6 module k6/x/vdi: thin clients for k6 scripts. It is a
// thin layer: the way to a desktop is package broker/client's, the sessions are
// package spice's, the work at them is package workload's, and what is here
// turns JavaScript's values into theirs and their measurements into k6's
// metrics.
//
// Sessions and logins belong to the virtual user that opened them and may
// outlive the iteration. Whatever a script forgets to close is closed when the
// test ends, and whoever is logged in then is logged out.
package vdi
