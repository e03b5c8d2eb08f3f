package exporters

//go:generate go run ./reference ../docs/exporter-metrics.md

// table has a line for each exporter.
var table = []entry{}
