package probes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"

	"github.com/prometheus/common/model"

	"github.com/deskstorm/deskstorm/runner/native"
)

func (p *prober) prometheus() []native.Function {
	return []native.Function{{
		Name: "promql", Kind: native.Probe,
		Doc: "Asks Prometheus an instant query: a number, or a list of {metric, value} where there are several.",
		Parameters: []native.Parameter{
			{Name: "query", Type: native.Text, Required: true, Doc: "in PromQL"},
			{Name: "empty", Type: native.Number, Doc: "the value where nothing is found, or no number (NaN); absent: that is an error"},
		},
		Run: p.promql,
	}}
}

// series is one of an instant vector's.
type series struct {
	Metric model.Metric `json:"metric"`
	Value  float64      `json:"value"`
}

func (p *prober) promql(ctx context.Context, a native.Arguments) (any, error) {
	query := a.Text("query", "")
	values, err := p.ask(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("asking Prometheus for %q: %w", query, err)
	}
	number := func(v float64) (float64, error) {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			return v, nil
		}
		if a.Has("empty") {
			return a.Number("empty", 0), nil
		}
		return 0, fmt.Errorf("asking Prometheus for %q: the answer is %v; with the argument empty that has a value", query, v)
	}
	switch {
	case len(values) == 0 && a.Has("empty"):
		return a.Number("empty", 0), nil
	case len(values) == 0:
		return nil, fmt.Errorf("asking Prometheus for %q: nothing is found; with the argument empty that has a value", query)
	case len(values) == 1:
		return number(values[0].Value)
	}
	for i := range values {
		if values[i].Value, err = number(values[i].Value); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// ask asks an instant query (Prometheus' HTTP API, /api/v1/query).
func (p *prober) ask(ctx context.Context, query string) ([]series, error) {
	config := p.Config.Prometheus
	if config == nil {
		return nil, missing("promql", prometheusSection)
	}
	web, err := newWeb(config.URL, config.CA, config.Timeout)
	if err != nil {
		return nil, err
	}
	web.prepare = config.authorize
	status, body, err := web.get(ctx, "api/v1/query", url.Values{"query": {query}})
	if err != nil {
		return nil, err
	}
	var answer struct {
		Status string `json:"status"`
		Error  string `json:"error"`
		Data   struct {
			Type   model.ValueType `json:"resultType"`
			Result json.RawMessage `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("it answered with status %d and no JSON", status)
	}
	if answer.Status != "success" {
		return nil, fmt.Errorf("it answered with status %d: %.400s", status, answer.Error)
	}
	switch answer.Data.Type {
	case model.ValScalar:
		var v model.Scalar
		if err := json.Unmarshal(answer.Data.Result, &v); err != nil {
			return nil, fmt.Errorf("reading the answer: %w", err)
		}
		return []series{{Value: float64(v.Value)}}, nil
	case model.ValVector:
		var v model.Vector
		if err := json.Unmarshal(answer.Data.Result, &v); err != nil {
			return nil, fmt.Errorf("reading the answer: %w", err)
		}
		all := make([]series, len(v))
		for i, s := range v {
			if s.Histogram != nil {
				return nil, errors.New("the answer is a native histogram; ask for a number of it, as with histogram_quantile")
			}
			all[i] = series{Metric: s.Metric, Value: float64(s.Value)}
		}
		return all, nil
	}
	return nil, fmt.Errorf("the answer is of the type %s, not an instant vector or a number", answer.Data.Type)
}

func (c *Prometheus) authorize(r *http.Request) error {
	switch {
	case c.Token.Given():
		token, err := c.Token.Read()
		if err != nil {
			return err
		}
		r.Header.Set("Authorization", "Bearer "+token)
	case c.User != "":
		password, err := c.Password.Read()
		if err != nil {
			return err
		}
		r.SetBasicAuth(c.User, password)
	}
	return nil
}
