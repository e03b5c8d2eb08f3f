package influx

import (
	"net/url"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/deskstorm/deskstorm/internal/configfile"
)

// Config is where points go. Where a field has no default it is required.
type Config struct {
	URL    string // http://HOST:8086 or https://...
	Org    string
	Bucket string
	Token  configfile.Secret // may write to the bucket, and read it for the counts; default: none, for what asks for none
	CAFile string            // of the server's certificate, in PEM form; default: empty, the system's
	// Timeout bounds a request, 1s to 5m; default: 10s.
	Timeout time.Duration
	Batch   int   // points in a request, 1 to 100000; default: 5000, which InfluxDB's documentation advises
	Buffer  int64 // bytes on disk while InfluxDB is away, 1 MB to 100 GB; default: 256 MB, some five nights of 8 hours of 100 series
}

// Read reads the section influxdb of deskstorm.yaml:
//
//	influxdb:
//	  url: https://influx.example.com:8086
//	  org: example
//	  bucket: deskstorm
//	  token: {file: influx-token}
//	  ca_file: influx-ca.pem
//	  timeout: 10s
//	  batch: 5000
//	  buffer_mb: 256
func Read(r *configfile.Reader, n ast.Node) Config {
	c := Config{Timeout: 10 * time.Second, Batch: 5000}
	megabytes := 256
	r.Mapping(n, configfile.Keys{
		"url":       r.Checked(&c.URL, "a URL such as https://influx.example.com:8086, without a user or a query", validURL),
		"org":       r.Text(&c.Org),
		"bucket":    r.Text(&c.Bucket),
		"token":     r.Secret(&c.Token),
		"ca_file":   r.Path(&c.CAFile),
		"timeout":   r.Duration(&c.Timeout, time.Second, 5*time.Minute),
		"batch":     r.Number(&c.Batch, 1, 100_000),
		"buffer_mb": r.Number(&megabytes, 1, 100_000),
	}, "url", "org", "bucket")
	c.Buffer = int64(megabytes) * 1_000_000
	return c
}

func validURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}
