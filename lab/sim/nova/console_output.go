package nova

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// showConsoleOutput: what a guest says on its serial console is when it was booted.
func (n *Nova) showConsoleOutput(c *call, arguments rawJSON) {
	var asked struct{ Length *rawJSON }
	length := func(raw rawJSON) *flaw {
		if kindOf(raw) == "null" {
			return nil
		}
		return integer(-1, maxInt)(raw)
	}
	if !c.passes("os-getConsoleOutput", arguments, object(nil, property{"length", length}), &asked) {
		return
	}
	n.mu.RLock()
	s := n.find(c)
	if s == nil {
		n.mu.RUnlock()
		return
	}
	h, launched, lines := s.host, s.launched, []string{}
	if !launched.IsZero() {
		lines = append(lines, fmt.Sprintf("[    0.000000] %s booted at %s", s.hostname, isoTime(launched)), s.hostname+" login: ")
	}
	n.mu.RUnlock()
	switch {
	case h == nil:
		c.fail(http.StatusConflict, "Instance "+s.id+" is not ready")
		return
	case c.failed(n.ask(c, h)):
		return
	case launched.IsZero():
		c.fail(http.StatusNotFound, "Guest does not have a console available.")
		return
	}
	if asked.Length != nil {
		if last, err := strconv.Atoi(stringOf(*asked.Length)); err == nil && last >= 0 {
			lines = lines[max(0, len(lines)-last):]
		}
	}
	c.answer(http.StatusOK, map[string]string{"output": strings.Join(lines, "\n")})
}
