package keystone

import (
	"github.com/google/uuid"
)

// publisher is whom Keystone's notifications come from.
const publisher = "identity.keystone"

// tell sends a notification in the form CADF, Keystone's usual one: "identity.project.created" and the like. Logins are not
// told, as by Keystone's usual notification_opt_out; nor is who did it, but for his being a user.
func (k *Keystone) tell(operation, kind, id string) {
	k.config.Notifier.Notify(publisher, "INFO", "identity."+kind+"."+operation, map[string]any{
		"typeURI": "http://schemas.dmtf.org/cloud/audit/1.0/event", "eventType": "activity", "id": uuid.NewString(),
		"eventTime": k.config.Now().UTC().Format("2006-01-02T15:04:05.000000+0000"), "action": operation + "." + kind, "outcome": "success",
		"initiator":     map[string]any{"typeURI": "service/security/account/user", "id": uuid.NewString()},
		"target":        map[string]any{"typeURI": "data/security/" + kind, "id": id},
		"observer":      map[string]any{"typeURI": "service/security", "id": stableID("service", "keystone")},
		"resource_info": id,
	})
}
