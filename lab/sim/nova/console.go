package nova

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"
)

// consoleTTL is how long a console's token is good for ([consoleauth] token_ttl).
const consoleTTL = 600 * time.Second

// The base URLs of nova.conf's [spice] section, html5proxy_base_url and spice_direct_proxy_base_url. Nobody listens there.
const (
	html5Proxy  = "http://127.0.0.1:6082/spice_auto.html"
	directProxy = "http://127.0.0.1:13002/nova"
)

const (
	spiceHTML5  = "spice-html5"
	spiceDirect = "spice-direct" // from 2.99 on
)

type consoleToken struct {
	server  string
	kind    string
	console Console
	expires time.Time
}

// consoleTokens are kept until they expire. Nova.mu guards them.
type consoleTokens struct {
	byToken map[string]consoleToken
	issued  []string // oldest first
}

func (t *consoleTokens) add(token string, v consoleToken, now time.Time) {
	for len(t.issued) > 0 && !now.Before(t.byToken[t.issued[0]].expires) {
		delete(t.byToken, t.issued[0])
		t.issued = t.issued[1:]
	}
	t.byToken[token] = v
	t.issued = append(t.issued, token)
}

func (n *Nova) createConsole(c *call) {
	var body struct {
		Console struct{ Protocol, Type string } `json:"remote_console"`
	}
	protocols, types := []string{"vnc", "spice", "rdp", "serial"}, []string{"novnc", "xvpvnc", "rdp-html5", "spice-html5", "serial"}
	if c.atLeast(8) {
		protocols, types = append(protocols, "mks"), append(types, "webmks")
	}
	if c.atLeast(99) {
		types = append(types, spiceDirect)
	}
	check := object([]string{"protocol", "type"}, property{"protocol", oneOf(protocols...)}, property{"type", oneOf(types...)})
	if !c.valid(object([]string{"remote_console"}, property{"remote_console", check}), &body) {
		return
	}
	asked := body.Console
	if url, ok := n.console(c, asked.Protocol, asked.Type); ok {
		c.answer(http.StatusOK, map[string]any{"remote_console": map[string]string{
			"protocol": asked.Protocol, "type": asked.Type, "url": url,
		}})
	}
}

func (n *Nova) getSPICEConsole(c *call, arguments rawJSON) {
	var asked struct{ Type string }
	if !c.passes("os-getSPICEConsole", arguments, object([]string{"type"}, property{"type", oneOf(spiceHTML5)}), &asked) {
		return
	}
	if url, ok := n.console(c, "spice", asked.Type); ok {
		c.answer(http.StatusOK, map[string]any{"console": map[string]string{"type": asked.Type, "url": url}})
	}
}

// console makes a token for a server's console, and returns the URL with it.
func (n *Nova) console(c *call, protocol, kind string) (url string, ok bool) {
	n.mu.RLock()
	s := n.find(c)
	if s == nil {
		n.mu.RUnlock()
		return "", false
	}
	status := n.refused(s.id)
	state, task, console, h := s.state, s.task, s.console, s.host
	n.mu.RUnlock()
	switch {
	case status != 0:
		c.fail(status, "The console of instance "+s.id+" is refused by the lab.")
		return "", false
	case h == nil:
		c.fail(http.StatusConflict, "Instance "+s.id+" is not ready")
		return "", false
	case task == deletingTask || task == migrating:
		s.conflict(c, "get_"+protocol+"_console", "task_state "+task)
		return "", false
	case c.failed(n.ask(c, h)):
		return "", false
	case protocol != "spice": // only SPICE is enabled on the hosts
		c.fail(http.StatusBadRequest, "Unavailable console type "+kind+".")
		return "", false
	case kind != spiceHTML5 && kind != spiceDirect:
		c.fail(http.StatusBadRequest, "Invalid console type "+kind)
		return "", false
	case !runs(state): // libvirt has no port of it, which Nova does not expect
		c.failed(errors.New("<class 'ValueError'>"))
		return "", false
	case console == nil:
		var err error
		if console, err = n.wake(c.Context(), s); err != nil {
			c.failed(err)
			return "", false
		}
	}
	token := uuid.NewString()
	n.mu.Lock()
	now := n.config.Now()
	n.consoles.add(token, consoleToken{s.id, kind, *console, now.Add(consoleTTL)}, now)
	n.mu.Unlock()
	base := html5Proxy
	if kind == spiceDirect {
		base = directProxy
	}
	return base + "?token=" + token, true
}

// runs tells whether a server in this state has a SPICE server.
func runs(state string) bool { return state == active || state == paused || state == suspended }

// wake boots the desktop of a server that was there from the start.
func (n *Nova) wake(ctx context.Context, s *server) (*Console, error) {
	s.working.Lock()
	defer s.working.Unlock()
	n.mu.Lock()
	console, state, gone := s.console, s.state, s.task == deletingTask || n.closed || n.servers[s.id] == nil
	if !n.closed {
		n.work.Add(1)
		defer n.work.Done()
	}
	n.mu.Unlock()
	if console != nil {
		return console, nil
	}
	if gone || !runs(state) {
		return nil, problem{http.StatusConflict, "Instance " + s.id + " is not ready"}
	}
	booted, err := n.config.Desktops.Boot(ctx, s.id)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	s.console = &booted
	return s.console, nil
}

func (n *Nova) showConsoleToken(c *call) {
	if !c.adminOnly("os-console-auth-tokens") {
		return
	}
	n.mu.RLock()
	t, ok := n.consoles.byToken[c.PathValue("token")]
	ok = ok && n.config.Now().Before(t.expires)
	n.mu.RUnlock()
	switch {
	case !ok:
		c.fail(http.StatusNotFound, "Token not found")
		return
	case !c.atLeast(31): // only consoles of RDP, which there are none of, were told before
		c.w.Header().Set("WWW-Authenticate", `Keystone uri="`+n.config.Identity+`"`)
		c.fail(http.StatusUnauthorized, "The requested console type details are not accessible")
		return
	}
	v := map[string]any{
		"instance_uuid": t.server, "host": t.console.Host, "port": portOrNull(t.console.Port), "internal_access_path": nil,
	}
	if c.atLeast(99) && t.kind == spiceDirect {
		v["tls_port"] = portOrNull(t.console.TLSPort)
	}
	c.answer(http.StatusOK, map[string]any{"console": v})
}

func portOrNull(port int) any {
	if port == 0 {
		return nil
	}
	return port
}
