package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/deskstorm/deskstorm/broker/client"
	"github.com/deskstorm/deskstorm/broker/store"
)

// checkOperator wants the operator's token (RFC 6750). Hashes are compared, because the time of a comparison tells the length.
func (s *server) checkOperator(c *call) error {
	if s.cfg.OperatorToken == "" {
		return &refusal{status: http.StatusForbidden, class: OperatorOnly, detail: "this broker has no operator's token configured"}
	}
	scheme, token, _ := strings.Cut(c.r.Header.Get("Authorization"), " ")
	sum := sha256.Sum256([]byte(token))
	if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(sum[:], s.operator[:]) != 1 {
		return &client.Error{Class: OperatorOnly, Message: "the operator's token is missing or wrong"}
	}
	return nil
}

// query returns the request's parameters, none but these and each at most once.
func (c *call) query(names ...string) (url.Values, error) {
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return nil, badRequest("the query is not percent-encoded properly")
	}
	for name, list := range values {
		if !slices.Contains(names, name) {
			return nil, badRequest(fmt.Sprintf("%s: unknown parameter", echo(name)))
		}
		if len(list) > 1 {
			return nil, badRequest(name + ": stands twice")
		}
	}
	return values, nil
}

type desktopAnswer struct {
	ID       string      `json:"id"`
	Pool     string      `json:"pool"`
	Spec     string      `json:"spec"`
	ServerID string      `json:"server_id,omitempty"`
	State    store.State `json:"state"`
	Draining bool        `json:"draining"`
	Broken   time.Time   `json:"broken_at,omitzero"`
	Reason   string      `json:"reason,omitempty"`
	Created  time.Time   `json:"created_at"`
	Ready    time.Time   `json:"ready_at,omitzero"`
	Changed  time.Time   `json:"changed_at"`
}

// desktops is GET /v1/desktops.
func (s *server) desktops(c *call) error {
	query, err := c.query("pool", "state")
	if err != nil {
		return err
	}
	pool, state := query.Get("pool"), store.State(query.Get("state"))
	if err := checkText("pool", pool, 0, maxName); err != nil {
		return err
	}
	if states := states(); state != "" && !slices.Contains(states, state) {
		return badRequest(fmt.Sprintf("state: must be one of %v", states))
	}
	desktops, err := s.broker.Desktops(c.r.Context(), pool, state)
	if err != nil {
		return err
	}
	list := make([]desktopAnswer, len(desktops))
	for i, d := range desktops {
		list[i] = desktopAnswer{
			ID: d.ID, Pool: d.Pool, Spec: d.Spec, ServerID: d.ServerID, State: d.State, Draining: d.Draining,
			Broken: d.Broken.UTC(), Reason: d.Reason, Created: d.Created.UTC(), Ready: d.Ready.UTC(), Changed: d.Changed.UTC(),
		}
	}
	return c.answer(http.StatusOK, struct {
		Desktops []desktopAnswer `json:"desktops"`
	}{list})
}

func states() []store.State {
	return []store.State{store.Building, store.Ready, store.Assigned, store.Deleting}
}

// desktopID returns the id in the path.
func (c *call) desktopID() (string, error) {
	id := c.r.PathValue("id")
	return id, checkText("the desktop's id", id, 1, maxID)
}

// drain is POST /v1/desktops/{id}/drain.
func (s *server) drain(c *call) error {
	id, err := c.desktopID()
	if err != nil {
		return err
	}
	return c.done(s.broker.Drain(c.r.Context(), id))
}

// release is POST /v1/desktops/{id}/release.
func (s *server) release(c *call) error {
	id, err := c.desktopID()
	if err != nil {
		return err
	}
	return c.done(s.broker.Release(c.r.Context(), id))
}

// desktopBroken is POST /v1/desktops/{id}/report-broken.
func (s *server) desktopBroken(c *call) error {
	id, err := c.desktopID()
	if err != nil {
		return err
	}
	reason, err := c.reason()
	if err != nil {
		return err
	}
	return c.done(s.broker.DesktopBroken(c.r.Context(), id, reason))
}

type bindingAnswer struct {
	Kind      store.BindingKind `json:"kind"`
	Key       string            `json:"key"`
	Pool      string            `json:"pool"`
	DesktopID string            `json:"desktop_id"`
	Created   time.Time         `json:"created_at"`
}

func binding(b store.Binding) bindingAnswer {
	return bindingAnswer{b.Kind, b.Key, b.Pool, b.DesktopID, b.Created.UTC()}
}

// bindings is GET /v1/bindings.
func (s *server) bindings(c *call) error {
	query, err := c.query("kind", "key")
	if err != nil {
		return err
	}
	kind, key := store.BindingKind(query.Get("kind")), query.Get("key")
	if err := checkText("key", key, 0, maxKey); err != nil {
		return err
	}
	if kind != "" {
		if err := checkKind(kind); err != nil {
			return err
		}
	} else if key != "" {
		return badRequest("kind: must be given with key")
	}
	bindings, err := s.broker.Bindings(c.r.Context(), kind, key)
	if err != nil {
		return err
	}
	list := make([]bindingAnswer, len(bindings))
	for i, b := range bindings {
		list[i] = binding(b)
	}
	return c.answer(http.StatusOK, struct {
		Bindings []bindingAnswer `json:"bindings"`
	}{list})
}

func checkKind(kind store.BindingKind) error {
	kinds := []store.BindingKind{store.BindUser, store.BindSeat, store.BindThinClient, store.BindSession}
	if !slices.Contains(kinds, kind) {
		return badRequest(fmt.Sprintf("kind: must be one of %v", kinds))
	}
	return nil
}

// binding returns the binding that the path names.
func (c *call) binding() (store.Binding, error) {
	b := store.Binding{Kind: store.BindingKind(c.r.PathValue("kind")), Key: c.r.PathValue("key"), Pool: c.r.PathValue("pool")}
	if err := checkKind(b.Kind); err != nil {
		return b, err
	}
	if err := checkText("pool", b.Pool, 1, maxName); err != nil {
		return b, err
	}
	return b, checkText("key", b.Key, 1, maxKey)
}

// rebind is PUT /v1/bindings/{pool}/{kind}/{key}.
func (s *server) rebind(c *call) error {
	wanted, err := c.binding()
	if err != nil {
		return err
	}
	body, err := c.body()
	if err != nil {
		return err
	}
	if err := parse(body, field{"desktop_id", true, text(&wanted.DesktopID, 1, maxID)}); err != nil {
		return err
	}
	b, err := s.broker.Rebind(c.r.Context(), wanted)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, binding(b))
}

// unbind is DELETE /v1/bindings/{pool}/{kind}/{key}.
func (s *server) unbind(c *call) error {
	b, err := c.binding()
	if err != nil {
		return err
	}
	return c.done(s.broker.Unbind(c.r.Context(), b.Kind, b.Key, b.Pool))
}

type poolAnswer struct {
	Name     string              `json:"name"`
	Ready    int                 `json:"ready_target"`
	Max      int                 `json:"max"`
	Desktops map[store.State]int `json:"desktops"`
	Booting  int                 `json:"booting"`
	Draining int                 `json:"draining"`
}

// pools is GET /v1/pools.
func (s *server) pools(c *call) error {
	pools, err := s.broker.Pools(c.r.Context())
	if err != nil {
		return err
	}
	list := make([]poolAnswer, len(pools))
	for i, p := range pools {
		desktops := make(map[store.State]int, 4)
		for _, state := range states() {
			desktops[state] = p.Desktops[state]
		}
		list[i] = poolAnswer{p.Name, p.Ready, p.Max, desktops, p.Booting, p.Draining}
	}
	return c.answer(http.StatusOK, struct {
		Pools []poolAnswer `json:"pools"`
	}{list})
}
