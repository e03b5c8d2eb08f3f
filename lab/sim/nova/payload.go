package nova

import (
	"errors"
	"strings"
	"time"
)

// versioned is a versioned object as oslo.versionedobjects encodes it.
func versioned(name, version string, data map[string]any) map[string]any {
	return map[string]any{
		"nova_object.name": name, "nova_object.namespace": "nova", "nova_object.version": version, "nova_object.data": data,
	}
}

// actionPayload is what a versioned notification of an event tells: InstanceActionPayload of nova/notifications/objects/instance.py,
// or one of those made from it. It is called with the lock held.
func (n *Nova) actionPayload(s *server, e event) map[string]any {
	data := n.instanceData(s)
	data["fault"] = nil
	if e.failure != nil {
		data["fault"] = exceptionPayload(e.failure)
	}
	switch {
	case strings.HasPrefix(e.versioned, "create."):
		data["keypairs"], data["tags"], data["trusted_image_certificates"] = []any{}, append([]string{}, s.tags...), nil
		data["instance_name"] = s.instanceName()
		return versioned("InstanceCreatePayload", "1.12", data)
	case strings.HasPrefix(e.versioned, "rebuild"):
		data["trusted_image_certificates"] = nil
		return versioned("InstanceActionRebuildPayload", "1.9", data)
	}
	return versioned("InstanceActionPayload", "1.8", data)
}

// powerNames are the values of InstancePowerState (nova/objects/fields.py).
var powerNames = map[int]string{
	noState: "pending", running: "running", pausedPower: "paused", shutdown: "shutdown", suspendedPower: "suspended",
}

// instanceData are the fields of InstancePayload. It is called with the lock held.
func (n *Nova) instanceData(s *server) map[string]any {
	var host, description, request, user, project, reason any
	if s.host != nil {
		host = s.host.Name
	}
	if s.described {
		description = s.description
	}
	if len(s.actions) > 0 {
		a := s.actions[len(s.actions)-1]
		request, user, project = a.requestID, a.user, a.project
	}
	if s.lock != nil {
		reason = textOrNull(s.lock.reason)
	}
	addresses := []any{}
	for _, p := range s.ports {
		addresses = append(addresses, versioned("IpPayload", "1.0", map[string]any{
			"label": p.Network, "mac": p.MAC, "meta": map[string]string{}, "port_uuid": p.ID, "version": 4, "address": p.Address,
			"device_name": "tap" + p.ID[:min(len(p.ID), 11)],
		}))
	}
	return map[string]any{
		"uuid": s.id, "user_id": s.user, "tenant_id": s.project, "reservation_id": s.reservation, "display_name": s.name,
		"display_description": description, "host_name": s.hostname, "host": host, "node": host, "os_type": nil, "architecture": nil,
		"availability_zone": textOrNull(s.zone), "flavor": flavorPayload(s.flavor), "image_uuid": s.image, "key_name": nil,
		"kernel_id": "", "ramdisk_id": "", "created_at": isoTime(s.created), "launched_at": isoOrNull(s.launched),
		"terminated_at": isoOrNull(s.terminated), "deleted_at": isoOrNull(s.terminated), "updated_at": isoTime(s.updated),
		"state": s.state, "power_state": powerNames[s.power()], "task_state": textOrNull(s.task), "progress": 0,
		"ip_addresses": addresses, "block_devices": nil, "metadata": s.metadata, "locked": s.lock != nil, "auto_disk_config": "MANUAL",
		"request_id": request, "action_initiator_user": user, "action_initiator_project": project, "locked_reason": reason,
	}
}

func flavorPayload(f *Flavor) map[string]any {
	return versioned("FlavorPayload", "1.4", map[string]any{
		"flavorid": f.ID, "memory_mb": f.RAM, "vcpus": f.VCPUs, "root_gb": f.Disk, "ephemeral_gb": f.Ephemeral, "name": f.Name,
		"swap": f.Swap, "rxtx_factor": f.rxtxFactor(), "vcpu_weight": 0, "disabled": false, "is_public": !f.Private,
		"extra_specs": f.specs(), "projects": nil, "description": f.Description,
	})
}

func (n *Nova) faultOf(err error) *fault {
	return &fault{500, err.Error(), traceback(err), n.config.Now()}
}

func exceptionPayload(err error) map[string]any {
	e := exception{"NovaException", err.Error()}
	errors.As(err, &e)
	return versioned("ExceptionPayload", "1.1", map[string]any{
		"module_name": "nova.exception", "function_name": "unknown", "exception": e.name, "exception_message": e.message,
		"traceback": traceback(err),
	})
}

// requestSpec is RequestSpecPayload of nova/notifications/objects/request_spec.py. It is called with the lock held.
func (n *Nova) requestSpec(s *server) map[string]any {
	var forced any
	if h := n.hostByID[s.wish.host]; h != nil && s.wish.forced {
		forced = h.Name
	}
	return versioned("RequestSpecPayload", "1.1", map[string]any{
		"instance_uuid": s.id, "project_id": s.project, "user_id": s.user, "availability_zone": textOrNull(s.wish.zone),
		"flavor": flavorPayload(s.flavor), "force_hosts": forced, "force_nodes": nil, "ignore_hosts": nil, "image_meta": nil,
		"instance_group": nil, "image": nil, "numa_topology": nil, "pci_requests": nil, "num_instances": 1, "requested_destination": nil,
		"retry": nil, "scheduler_hints": map[string]any{}, "security_groups": []string{"default"},
	})
}

// traceback is where Nova has a longer one.
func traceback(err error) string {
	e := exception{"NovaException", err.Error()}
	errors.As(err, &e)
	return "Traceback (most recent call last):\nnova.exception." + e.name + ": " + e.message + "\n"
}

func isoOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return isoTime(t)
}
