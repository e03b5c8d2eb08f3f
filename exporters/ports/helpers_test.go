package ports

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/exporters/collector"
)

// patience bounds what should take much less.
const patience = 20 * time.Second

func newExporter(t testing.TB, config Config, from Sources) collector.Exporter {
	t.Helper()
	e, err := New(config, from, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return e
}

// ask asks one source, and returns its values by their labels' values, joined by commas.
func ask(t testing.TB, e collector.Exporter, target string) (map[*collector.Family]map[string]float64, error) {
	t.Helper()
	for _, s := range e.Sources {
		if s.Target != target {
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), s.Timeout)
		defer cancel()
		values := map[*collector.Family]map[string]float64{}
		err := s.Update(ctx, func(m prometheus.Metric) {
			var wire dto.Metric
			require.NoError(t, m.Write(&wire))
			labels := map[string]string{}
			for _, l := range wire.Label {
				labels[l.GetName()] = l.GetValue()
			}
			for _, f := range e.Families {
				if !strings.Contains(m.Desc().String(), `"`+f.Name+`"`) {
					continue
				}
				var key []string
				for _, name := range f.Labels {
					key = append(key, labels[name])
				}
				if values[f] == nil {
					values[f] = map[string]float64{}
				}
				values[f][strings.Join(key, ",")] = wire.GetGauge().GetValue()
			}
		})
		return values, err
	}
	t.Fatalf("there is no source %s", target)
	return nil, nil
}

// positive are the values that are not 0.
func positive(values map[string]float64) map[string]float64 {
	some := map[string]float64{}
	for key, value := range values {
		if value != 0 {
			some[key] = value
		}
	}
	return some
}

// served is what GET /v1/ports answers.
func served(t testing.TB, e collector.Exporter) (faults []Fault, leftOut int) {
	t.Helper()
	return answered(t, e.Handlers["GET /v1/ports"])
}

func answered(t testing.TB, handler http.Handler) (faults []Fault, leftOut int) {
	t.Helper()
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest("GET", "/v1/ports", nil))
	require.Equal(t, 200, w.Code)
	var answer struct {
		Faults  []Fault `json:"faults"`
		LeftOut int     `json:"left_out"`
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
	require.NotNil(t, answer.Faults)
	return answer.Faults, answer.LeftOut
}

// counting counts what is logged.
type counting struct {
	slog.Handler
	lines *int
}

func (counting) Enabled(context.Context, slog.Level) bool { return true }

func (c counting) Handle(context.Context, slog.Record) error {
	*c.lines++
	return nil
}
