// Package scenarios is what deskstorm runs, as data: k6 scripts, and the
// workload profiles that say how a person of a kind works at a desktop.
package scenarios

import "embed"

// Scripts are the k6 scripts of this folder.
//
//go:embed *.js
var Scripts embed.FS

//go:embed profiles/*.yaml
var profiles embed.FS
