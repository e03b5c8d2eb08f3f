package nova

import (
	"strconv"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// recordNamed records an action under a number.
func (n *Nova) recordNamed(s *server, action string, number int) {
	n.record(&call{caller: &service.Caller{}, requestID: strconv.Itoa(number)}, s, action)
}
