package probes

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/deskstorm/deskstorm/runner/native"
)

func (p *prober) broker() []native.Function {
	return []native.Function{{
		Name: "broker.health", Kind: native.Probe,
		Doc: "Asks the broker whether it serves (healthy), whether logins have a chance (ready), and how its pools stand.",
		Run: p.brokerHealth,
	}}
}

// brokerState is what the broker says of itself.
type brokerState struct {
	Healthy bool    `json:"healthy"`
	Ready   bool    `json:"ready"`
	Problem string  `json:"problem,omitempty"` // why not
	Took    float64 `json:"took_ms"`           // of the question whether it is ready
	// Pools are by name, if the configuration has the operator's token.
	Pools map[string]poolState `json:"pools,omitempty"`
}

// poolState is a pool as /v1/pools has it.
type poolState struct {
	Name     string         `json:"name"`
	Target   int            `json:"ready_target"`
	Max      int            `json:"max"`
	Desktops map[string]int `json:"desktops"` // by state
}

func (p *prober) brokerHealth(ctx context.Context, _ native.Arguments) (any, error) {
	config := p.Config.Broker
	if config == nil {
		return nil, missing("broker.health", brokerSection)
	}
	web, err := newWeb(config.URL, config.CA, config.Timeout)
	if err != nil {
		return nil, err
	}
	var s brokerState
	problem := func(what string, status int, body []byte, err error) {
		if err != nil {
			s.Problem = fmt.Sprintf("%s: %v", what, err)
			return
		}
		s.Problem = fmt.Sprintf("%s: it answered with status %d: %.400s", what, status, body)
	}
	status, body, err := web.get(ctx, "-/healthy", nil)
	if s.Healthy = err == nil && status == http.StatusOK; !s.Healthy {
		problem("healthy", status, body, err)
		return s, ctx.Err()
	}
	begin := time.Now()
	status, body, err = web.get(ctx, "-/ready", nil)
	s.Took = milliseconds(time.Since(begin))
	if s.Ready = err == nil && status == http.StatusOK; !s.Ready {
		problem("ready", status, body, err)
	}
	if !config.OperatorToken.Given() {
		return s, ctx.Err()
	}
	token, err := config.OperatorToken.Read()
	if err != nil {
		return nil, err
	}
	web.prepare = func(r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+token)
		return nil
	}
	status, body, err = web.get(ctx, "v1/pools", nil)
	var answer struct {
		Pools []poolState `json:"pools"`
	}
	if err == nil && status == http.StatusOK {
		err = json.Unmarshal(body, &answer)
	}
	if err != nil || status != http.StatusOK {
		problem("pools", status, body, err)
		return s, ctx.Err()
	}
	s.Pools = map[string]poolState{}
	for _, one := range answer.Pools {
		s.Pools[one.Name] = one
	}
	return s, nil
}
