package cloud

import (
	"context"
	"encoding/json"
	"time"
)

// Action is what was asked of a server, as Nova keeps it.
type Action struct {
	Name      string // "create", "start", "stop", "reboot", "rebuild", "live-migration" ...
	RequestID string
	Started   time.Time // when Nova's API took it
	Updated   time.Time // when last something happened to it
	Failed    bool
	Events    []ActionEvent // what was done for it, oldest first; only ServerAction has them
}

// ActionEvent is a part of an action that one service did.
type ActionEvent struct {
	Name     string // "compute__do_build_and_run_instance"
	Host     string // administrators only
	Started  time.Time
	Finished time.Time // zero: it goes on, or who did it died
	Failed   bool
}

// novaTime is a time as Nova writes its own: in UTC and without saying so. Null is the zero time.
type novaTime struct{ time.Time }

func (t *novaTime) UnmarshalJSON(text []byte) error {
	var s *string
	if err := json.Unmarshal(text, &s); err != nil || s == nil {
		return err
	}
	for _, form := range []string{"2006-01-02T15:04:05.999999", time.RFC3339Nano} {
		at, err := time.Parse(form, *s)
		if err == nil {
			t.Time = at
			return nil
		}
	}
	return &time.ParseError{Value: *s, Layout: time.RFC3339, Message: ": not a time of Nova's"}
}

type wireAction struct {
	Name      string   `json:"action"`
	RequestID string   `json:"request_id"`
	Started   novaTime `json:"start_time"`
	Updated   novaTime `json:"updated_at"`
	Message   *string  `json:"message"`
	Events    []struct {
		Name     string   `json:"event"`
		Host     string   `json:"host"`
		Started  novaTime `json:"start_time"`
		Finished novaTime `json:"finish_time"`
		Result   *string  `json:"result"`
	} `json:"events"`
}

func (w wireAction) action() Action {
	a := Action{Name: w.Name, RequestID: w.RequestID, Started: w.Started.Time, Updated: w.Updated.Time, Failed: w.Message != nil}
	for i := len(w.Events) - 1; i >= 0; i-- { // Nova has the newest first
		e := w.Events[i]
		a.Events = append(a.Events, ActionEvent{
			Name: e.Name, Host: e.Host, Started: e.Started.Time, Finished: e.Finished.Time, Failed: e.Result != nil && *e.Result == "Error",
		})
	}
	return a
}

// ServerActions lists what was asked of a server, the newest first, without events.
func (c *Cloud) ServerActions(ctx context.Context, serverID string) (all []Action, err error) {
	var answer struct {
		Actions []wireAction `json:"instanceActions"`
	}
	err = c.withServer(ctx, "listing the actions of server", serverID, func(ctx context.Context, address string) error {
		_, err := c.compute.Get(ctx, address+"/os-instance-actions", &answer, nil)
		return err
	})
	for _, w := range answer.Actions {
		all = append(all, w.action())
	}
	return all, err
}

// ServerAction is one action with its events.
func (c *Cloud) ServerAction(ctx context.Context, serverID, requestID string) (Action, error) {
	var answer struct {
		Action wireAction `json:"instanceAction"`
	}
	err := c.withServer(ctx, "reading an action of server", serverID, func(ctx context.Context, address string) error {
		request, err := segment("the request's ID", requestID)
		if err != nil {
			return err
		}
		_, err = c.compute.Get(ctx, address+"/os-instance-actions/"+request, &answer, nil)
		return err
	})
	return answer.Action.action(), err
}
