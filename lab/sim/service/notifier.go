package service

// Notifier sends oslo notifications. Publisher is "service:host", such as "nova-compute:compute01"; priority "INFO" or "ERROR".
// Notify does not wait for a broker. The payload is read before it returns; one that is a Caused says what request it comes of.
type Notifier interface {
	Notify(publisher, priority, event string, payload any)
}

// Caused is a notification's payload with the request that caused it, as services send them that have a request's context.
type Caused struct {
	Payload   any
	By        *Caller
	RequestID string // "req-..."
}

// Silent is a Notifier for nobody.
type Silent struct{}

// Notify does nothing.
func (Silent) Notify(string, string, string, any) {}
