package history_test

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/results"
	"github.com/deskstorm/deskstorm/runner/history"
	"github.com/deskstorm/deskstorm/runner/record"
)

// night is 8 hours of 10 s windows of 100 series: 60 of durations, with 30 samples a window each, and 40 of counts, levels and rates.
func night(b *testing.B, id string, began time.Time) record.Run {
	b.Helper()
	r := run(b, id, began)
	r.Windows = nil
	rng := rand.New(rand.NewPCG(3, uint64(began.Unix())))
	for w := range 8 * 360 {
		start := began.Add(time.Duration(w) * 10 * time.Second)
		for i := range 100 {
			series := results.Series{Metric: "vdi_step_duration", Kind: results.Trend,
				Tags: results.Tags{Site: fmt.Sprint("site", i%5), Step: fmt.Sprint("step", i/5), Path: "spice"}}
			if i >= 60 {
				series.Kind = []results.Kind{results.Counter, results.Gauge, results.Rate, results.Counter}[i%4]
				series.Metric = fmt.Sprint("vdi_", series.Kind)
			}
			a := results.New(series, start, start.Add(10*time.Second))
			for range 30 {
				require.NoError(b, a.Add(300+float64(i)*20+500*rng.ExpFloat64(), start))
			}
			r.Windows = append(r.Windows, a)
		}
	}
	return r
}

// BenchmarkNight is what a night takes: to be saved, its totals to be read with those of six others, and all of it to be read.
func BenchmarkNight(b *testing.B) {
	b.Run("SQLite", func(b *testing.B) {
		path := filepath.Join(b.TempDir(), "history.db")
		benchmarkNight(b, "sqlite://"+path, func() int64 {
			info, err := os.Stat(path)
			require.NoError(b, err)
			return info.Size()
		})
	})
	b.Run("PostgreSQL", func(b *testing.B) {
		dsn := startPostgres(b).DSN
		db, err := sql.Open("pgx", dsn)
		require.NoError(b, err)
		defer db.Close()
		benchmarkNight(b, dsn, func() (size int64) {
			// The first night only: what later ones replaced is still there until it is vacuumed.
			_, err := db.ExecContext(b.Context(), `VACUUM FULL`)
			require.NoError(b, err)
			require.NoError(b, db.QueryRowContext(b.Context(), `SELECT SUM(pg_total_relation_size(relid)) FROM pg_stat_user_tables`).Scan(&size))
			return size
		})
	})
}

func benchmarkNight(b *testing.B, dsn string, size func() int64) {
	r := night(b, "night", evening)
	b.Run("save", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			s := open(b, dsn)
			require.NoError(b, s.Save(b.Context(), r, "passed", nil))
			require.NoError(b, s.Close())
		}
		b.ReportMetric(float64(size())/1e6, "MB/night")
	})
	s := open(b, dsn)
	for i := range 6 {
		other := r
		other.ID, other.Began = fmt.Sprint("other-", i), evening.Add(-time.Duration(i+1)*24*time.Hour)
		other.Windows = r.Windows[:20_000] // its totals have no fewer series
		require.NoError(b, s.Save(b.Context(), other, "passed", nil))
	}
	b.Run("seven-nights", func(b *testing.B) {
		for b.Loop() {
			nights, err := s.Nights(b.Context(), history.Like{Experiment: r.Experiment, Before: evening.Add(time.Hour)})
			require.NoError(b, err)
			require.Len(b, nights, 7)
		}
	})
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			_, err := s.Run(b.Context(), "night")
			require.NoError(b, err)
		}
	})
}
