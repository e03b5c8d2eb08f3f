// Package notification listens to what OpenStack's services tell over RabbitMQ: oslo notifications, in their own form and as
// versioned objects. It reads copies from a queue of its own that goes with its connection; what others read, such as
// Ceilometer, it leaves alone.
package notification

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Notification is one message of a service.
type Notification struct {
	ID        string // of the message; one that comes twice has it twice
	Publisher string // "compute.node7", "nova-compute:node7" as a versioned one
	Priority  string // DEBUG, INFO, WARN, ERROR, CRITICAL, SAMPLE or AUDIT
	Event     string // "compute.instance.create.end", "instance.create.end" as a versioned one
	Time      time.Time
	Payload   json.RawMessage
}

// timeForms are how services write times: oslo.messaging with a blank, Nova's payloads in either form and with or without a zone.
var timeForms = []string{"2006-01-02 15:04:05.999999", "2006-01-02T15:04:05.999999", time.RFC3339Nano, "2006-01-02 15:04:05-07:00"}

// ParseTime reads a time of a notification; one without a zone is in UTC.
func ParseTime(text string) (time.Time, error) {
	for _, form := range timeForms {
		if t, err := time.Parse(form, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%.40q is no time as OpenStack's services write it", text)
}

// Decode reads a message: oslo.messaging's envelope of version 2.0 (oslo_messaging/_drivers/common.py), or what was sent without one.
func Decode(body []byte) (Notification, error) {
	var envelope struct {
		Message *string `json:"oslo.message"`
	}
	if err := json.Unmarshal(body, &envelope); err != nil {
		return Notification{}, fmt.Errorf("reading a notification's envelope: %w", err)
	}
	if envelope.Message != nil {
		body = []byte(*envelope.Message)
	}
	var wire struct {
		ID        string          `json:"message_id"`
		Publisher string          `json:"publisher_id"`
		Priority  string          `json:"priority"`
		Event     string          `json:"event_type"`
		Timestamp string          `json:"timestamp"`
		Payload   json.RawMessage `json:"payload"`
	}
	if err := json.Unmarshal(body, &wire); err != nil {
		return Notification{}, fmt.Errorf("reading a notification: %w", err)
	}
	if wire.Event == "" {
		return Notification{}, fmt.Errorf("reading a notification: it has no event_type")
	}
	at, err := ParseTime(wire.Timestamp)
	if err != nil {
		return Notification{}, fmt.Errorf("reading a notification: %w", err)
	}
	return Notification{
		ID: wire.ID, Publisher: wire.Publisher, Priority: strings.ToUpper(wire.Priority), Event: wire.Event, Time: at, Payload: wire.Payload,
	}, nil
}

// Service is the publisher's service, "nova-compute" in either form.
func (n Notification) Service() string {
	service, _, ok := strings.Cut(n.Publisher, ":")
	if ok {
		return service
	}
	service, _, _ = strings.Cut(n.Publisher, ".")
	switch service {
	case "compute", "conductor", "scheduler", "api":
		return "nova-" + service
	case "compute_task":
		return "nova-conductor"
	}
	return service
}

// Host is where the publisher runs.
func (n Notification) Host() string {
	if _, host, ok := strings.Cut(n.Publisher, ":"); ok {
		return host
	}
	_, host, _ := strings.Cut(n.Publisher, ".")
	return host
}
