// Package deskstorm is imported for its effect: it registers the k6 module k6/x/vdi and the k6 output deskstorm, so that
// `xk6 build --with github.com/deskstorm/deskstorm` finds them at the module's own path.
package deskstorm

import _ "github.com/deskstorm/deskstorm/xk6-vdi" // registers the extensions
