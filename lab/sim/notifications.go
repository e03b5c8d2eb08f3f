package sim

import (
	"github.com/deskstorm/deskstorm/lab/sim/notify"
	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// openNotifications makes the publisher, if there is a broker to publish to.
func (l *Lab) openNotifications() (err error) {
	if l.config.NotificationURL != "" {
		l.Notifications, err = notify.New(l.config.NotificationURL, l.config.Now)
	}
	return err
}

// notifier sends a service's notifications, of one of notify's topics, or to nobody.
func (l *Lab) notifier(exchange, topic string) service.Notifier {
	if l.Notifications == nil {
		return service.Silent{}
	}
	return l.Notifications.To(exchange, topic)
}

func (l *Lab) closeNotifications() {
	if l.Notifications != nil {
		l.Notifications.Close()
	}
}
