package nova

import "strings"

// Notifications come in two forms, as with notification_format=both and notify_on_state_change=vm_and_task_state: unversioned ones
// of free form, and versioned objects.

// source is the service that a notification is of, and where it runs.
type source struct{ service, host string }

// Nova's API tells what it does to servers in the name of nova-compute.
var (
	fromAPI       = source{"compute", controller}
	fromConductor = source{"conductor", controller}
	fromTagsAPI   = source{"nova-api", controller}
)

// fromHost is what the nova-compute of the server's host says.
func (s *server) fromHost() source {
	if s.host == nil {
		return fromAPI
	}
	return source{"compute", s.host.Name}
}

const (
	info = "INFO"
	bad  = "ERROR"
)

// versionedPublisher is the source of a versioned notification: "nova-compute:compute01".
func (f source) versionedPublisher() string {
	return "nova-" + strings.TrimPrefix(f.service, "nova-") + ":" + f.host
}

// event is something that happens to a server.
type event struct {
	name      string         // of the unversioned notification, after "compute.instance."; empty: there is none
	versioned string         // of the versioned one, after "instance."; empty: as name
	more      map[string]any // in the unversioned one
	fixedIPs  bool           // it has them
	failure   error
	from      source
	host      string // of the versioned one, if it is not from's
	binary    string // likewise
}

// say tells what happens to a server. It is called with the lock held.
func (n *Nova) say(s *server, e event) {
	if n.outbox == nil {
		return
	}
	priority := info
	if e.failure != nil {
		priority = bad
	}
	if to := n.config.Notifier; to != nil && e.name != "" {
		payload := n.usage(s)
		if e.fixedIPs {
			payload["fixed_ips"] = s.fixedIPs()
		}
		for name, value := range e.more {
			payload[name] = value
		}
		if e.failure != nil {
			payload["exception"], payload["message"], payload["code"] = e.failure.Error(), e.failure.Error(), 500
		}
		n.outbox.put(note{to, e.from.service + "." + e.from.host, priority, "compute.instance." + e.name, payload})
	}
	if to := n.config.Versioned; to != nil {
		if e.versioned == "" {
			e.versioned = e.name
		}
		publisher := e.from.versionedPublisher()
		if e.binary != "" {
			publisher = e.binary + ":" + e.host
		}
		n.outbox.put(note{to, publisher, priority, "instance." + e.versioned, n.actionPayload(s, e)})
	}
}

// sayUpdate tells that a server has changed; before is what it was. It is called with the lock held.
func (n *Nova) sayUpdate(s *server, before states, from source) { n.sayRenamed(s, before, "", from) }

func (n *Nova) sayRenamed(s *server, before states, oldName string, from source) {
	if n.outbox == nil {
		return
	}
	start, end := n.auditPeriod()
	if to := n.config.Notifier; to != nil {
		payload := n.usage(s)
		payload["old_state"], payload["state"] = textOrNull(before.state), s.state
		payload["old_task_state"], payload["new_task_state"] = textOrNull(before.task), textOrNull(s.task)
		payload["audit_period_beginning"], payload["audit_period_ending"] = start.Format(microTime), end.Format(microTime)
		if oldName != "" {
			payload["old_display_name"] = oldName
		}
		n.outbox.put(note{to, from.service + "." + from.host, info, "compute.instance.update", payload})
	}
	if to := n.config.Versioned; to != nil {
		data := n.instanceData(s)
		data["state_update"] = versioned("InstanceStateUpdatePayload", "1.0", map[string]any{
			"old_state": textOrNull(before.state), "state": s.state, "old_task_state": textOrNull(before.task),
			"new_task_state": textOrNull(s.task),
		})
		data["audit_period"] = versioned("AuditPeriodPayload", "1.0", map[string]any{
			"audit_period_beginning": isoTime(start), "audit_period_ending": isoTime(end),
		})
		data["old_display_name"], data["tags"] = textOrNull(oldName), append([]string{}, s.tags...)
		n.outbox.put(note{to, from.versionedPublisher(), info, "instance.update", versioned("InstanceUpdatePayload", "2.0", data)})
	}
}

// sayService tells that a nova-compute was enabled, disabled, or forced down or up. It is called with the lock held.
func (n *Nova) sayService(h *host) {
	if n.config.Versioned == nil {
		return
	}
	n.outbox.put(note{n.config.Versioned, "nova-compute:" + h.Name, info, "service.update",
		versioned("ServiceStatusPayload", "1.1", map[string]any{
			"host": h.Name, "binary": "nova-compute", "topic": "compute", "report_count": n.reports(h), "disabled": h.service.disabled,
			"disabled_reason": h.service.reason, "availability_zone": nil, "last_seen_up": isoTime(n.lastReport(h)),
			"forced_down": h.service.forcedDown, "version": 64, "uuid": serviceUUID("nova-compute", h.Name),
		})})
}

// reports is how often a host's nova-compute has said that it is alive.
func (n *Nova) reports(h *host) int {
	return max(0, int(n.lastReport(h).Sub(n.started)/n.reportInterval()))
}

// sayTaskError tells that the conductor could not do what it was asked to, such as "build_instances". It is called with the lock held.
func (n *Nova) sayTaskError(s *server, method string, failure error) {
	if n.outbox == nil {
		return
	}
	if to := n.config.Notifier; to != nil {
		properties := map[string]any{
			"uuid": s.id, "project_id": s.project, "user_id": s.user, "display_name": s.name, "memory_mb": s.flavor.RAM,
			"vcpus": s.flavor.VCPUs, "root_gb": s.flavor.Disk, "ephemeral_gb": s.flavor.Ephemeral,
			"availability_zone": textOrNull(s.zone),
		}
		n.outbox.put(note{to, "compute_task." + controller, bad, "compute_task." + method, map[string]any{
			"request_spec": map[string]any{"instance_properties": properties, "num_instances": 1}, "instance_properties": properties,
			"instance_id": s.id, "state": failed, "method": method, "reason": failure.Error(),
		}})
	}
	if to := n.config.Versioned; to != nil {
		n.outbox.put(note{to, "nova-conductor:" + controller, bad, "compute_task." + method + ".error",
			versioned("ComputeTaskPayload", "1.0", map[string]any{
				"instance_uuid": s.id, "request_spec": n.requestSpec(s), "state": failed, "reason": exceptionPayload(failure),
			})})
	}
}

func textOrNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
