package dhcp

import (
	"strings"

	"github.com/deskstorm/deskstorm/probe/dhcp"
)

// SituationsOf are those of a result, without a lease file and with any server allowed.
func SituationsOf(r dhcp.Result, shared bool) string {
	var words []string
	for _, s := range (view{result: &r, shared: shared}).situations() {
		words = append(words, string(s))
	}
	return strings.Join(words, " + ")
}
