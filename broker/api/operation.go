package api

import (
	_ "embed"
	"io"
	"net/http"

	"github.com/deskstorm/deskstorm/broker/client"
)

//go:embed openapi.yaml
var openAPI []byte

// description is GET /v1/openapi.yaml.
func description(c *call) error {
	c.w.Header().Set("Content-Type", "application/yaml") // RFC 9512
	_, err := c.w.Write(openAPI)
	return err
}

// healthy is GET /-/healthy: the process serves.
func healthy(c *call) error { return c.plain("healthy\n") }

// ready is GET /-/ready: logins have a chance.
func (s *server) ready(c *call) error {
	if err := s.broker.Check(c.r.Context()); err != nil {
		f := s.explain(c, err)
		return &refusal{status: http.StatusServiceUnavailable, class: f.class, detail: f.detail, cause: f.cause}
	}
	return c.plain("ready\n")
}

func (c *call) plain(text string) error {
	c.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err := io.WriteString(c.w, text)
	return err
}

// ownMetrics is GET /metrics.
func (s *server) ownMetrics(c *call) error {
	if s.cfg.Metrics == nil {
		return &client.Error{Class: NotFound, Message: "this broker serves its metrics elsewhere or not at all"}
	}
	s.cfg.Metrics.ServeHTTP(c.w, c.r)
	return nil
}
