// Package collector is what the exporters are made of: families of metrics, and sources that are asked in the background, so
// that a scrape is served from memory whatever a cloud, a broker or a host takes to answer.
//
// An exporter is a value: its families, its sources and, where it has them, metrics that it counts as things happen. A Set runs
// exporters and is the prometheus.Collector of them all; it also says how old each source's data is and when it last failed.
package collector

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Kind is a metric's type.
type Kind string

// The types of metrics.
const (
	GaugeKind     Kind = "gauge"
	CounterKind   Kind = "counter"
	HistogramKind Kind = "histogram"
)

// Family is one metric with all its label values. It does not change once made.
type Family struct {
	Name    string // deskstorm_, with its base unit as its suffix
	Help    string
	Kind    Kind
	Labels  []string  // none grows with users or desktops
	Buckets []float64 // a histogram's classic bounds; it has native buckets besides

	desc *prometheus.Desc
}

// Gauge makes a family whose values go up and down.
func Gauge(name, help string, labels ...string) *Family {
	return newFamily(GaugeKind, name, help, nil, labels)
}

// Counter makes a family whose values only grow.
func Counter(name, help string, labels ...string) *Family {
	return newFamily(CounterKind, name, help, nil, labels)
}

// Histogram makes a family of distributions.
func Histogram(name, help string, buckets []float64, labels ...string) *Family {
	return newFamily(HistogramKind, name, help, buckets, labels)
}

func newFamily(kind Kind, name, help string, buckets []float64, labels []string) *Family {
	return &Family{
		Name: name, Help: help, Kind: kind, Labels: labels, Buckets: buckets,
		desc: prometheus.NewDesc(name, help, labels, nil),
	}
}

// Value is one gauge or counter of the family, with a value for each label. A number of values other than that of the labels
// makes the scrape fail, as an invalid UTF-8 value does.
func (f *Family) Value(value float64, labels ...string) prometheus.Metric {
	kind := prometheus.GaugeValue
	switch f.Kind {
	case CounterKind:
		kind = prometheus.CounterValue
	case HistogramKind:
		return prometheus.NewInvalidMetric(f.desc, fmt.Errorf("the histogram %s has no single value", f.Name))
	}
	m, err := prometheus.NewConstMetric(f.desc, kind, value, labels...)
	if err != nil {
		return prometheus.NewInvalidMetric(f.desc, err)
	}
	return m
}

// CounterVec counts the family as things happen. It panics if the family is no counter.
func (f *Family) CounterVec() *prometheus.CounterVec {
	f.must(CounterKind)
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: f.Name, Help: f.Help}, f.Labels)
}

// GaugeVec sets the family as things happen. It panics if the family is no gauge.
func (f *Family) GaugeVec() *prometheus.GaugeVec {
	f.must(GaugeKind)
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: f.Name, Help: f.Help}, f.Labels)
}

// Native histograms: each bucket is a tenth wider than the one before it, and there are at most 160 of them.
const (
	nativeFactor  = 1.1
	nativeBuckets = 160
)

// HistogramVec observes the family, in classic and in native buckets. It panics if the family is no histogram.
func (f *Family) HistogramVec() *prometheus.HistogramVec {
	f.must(HistogramKind)
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: f.Name, Help: f.Help, Buckets: f.Buckets,
		NativeHistogramBucketFactor: nativeFactor, NativeHistogramMaxBucketNumber: nativeBuckets,
	}, f.Labels)
}

// Bool is a condition as Prometheus has it: 1 or 0.
func Bool(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (f *Family) must(kind Kind) {
	if f.Kind != kind {
		panic(fmt.Sprintf("%s is a %s, not a %s", f.Name, f.Kind, kind))
	}
}
