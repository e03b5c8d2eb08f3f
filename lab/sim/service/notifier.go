package service

// Notifier sends oslo notifications. Publisher is "service:host", such as "nova-compute:compute01"; priority "INFO" or "ERROR".
type Notifier interface {
	Notify(publisher, priority, event string, payload any)
}
