//go:build race

package physics_test

// raced: the race detector slows the model down tenfold, and has nothing to find in it.
const raced = true
