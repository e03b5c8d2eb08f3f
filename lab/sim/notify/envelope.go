package notify

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/deskstorm/deskstorm/lab/sim/service"
)

// envelope is a notification as it is sent: oslo.messaging's envelope of version 2.0 (oslo_messaging/_drivers/common.py) around
// the message, which is a string of JSON itself.
func envelope(publisher, priority, event string, payload any, now time.Time) ([]byte, error) {
	m := map[string]any{}
	if caused, ok := payload.(service.Caused); ok {
		payload = caused.Payload
		for key, value := range requestContext(caused) {
			m["_context_"+key] = value
		}
	}
	m["message_id"], m["publisher_id"], m["event_type"] = uuid.NewString(), publisher, event
	m["priority"], m["payload"] = strings.ToUpper(priority), payload
	m["timestamp"] = now.UTC().Format("2006-01-02 15:04:05.000000")
	m["_unique_id"] = strings.ReplaceAll(uuid.NewString(), "-", "")
	inner, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]string{"oslo.version": "2.0", "oslo.message": string(inner)})
}

// requestContext is what oslo.messaging lets through of a request's context: its token is not among it.
func requestContext(c service.Caused) map[string]any {
	v := map[string]any{"request_id": c.RequestID, "global_request_id": nil, "is_admin": false}
	if by := c.By; by != nil {
		v["user_id"], v["user_name"], v["user"] = by.UserID, by.UserName, by.UserID
		v["project_id"], v["project_name"] = by.ProjectID, by.ProjectName
		v["roles"], v["is_admin"] = by.Roles, by.Admin()
	}
	return v
}
