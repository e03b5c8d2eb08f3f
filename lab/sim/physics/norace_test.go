//go:build !race

package physics_test

const raced = false
