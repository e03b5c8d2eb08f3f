package nova

import (
	"strconv"
	"time"
)

// usage is what unversioned notifications tell of a server (info_from_instance of nova/notifications/base.py). It is called with
// the lock held.
func (n *Nova) usage(s *server) map[string]any {
	f := s.flavor
	var host any
	if s.host != nil {
		host = s.host.Name
	}
	return map[string]any{
		"tenant_id": s.project, "user_id": s.user, "instance_id": s.id, "display_name": s.name, "reservation_id": s.reservation,
		"hostname": s.hostname, "instance_type": f.Name, "instance_type_id": f.number, "instance_flavor_id": f.ID, "architecture": nil,
		"memory_mb": f.RAM, "disk_gb": f.Disk + f.Ephemeral, "vcpus": f.VCPUs, "root_gb": f.Disk, "ephemeral_gb": f.Ephemeral,
		"host": host, "node": host, "availability_zone": textOrNull(s.zone), "cell_name": "",
		"created_at": s.created.UTC().Format("2006-01-02 15:04:05-07:00"), "terminated_at": strtime(s.terminated),
		"deleted_at": strtime(s.terminated), "launched_at": strtime(s.launched),
		"image_ref_url": s.image, "os_type": nil, "kernel_id": "", "ramdisk_id": "",
		"state": s.state, "state_description": s.task, "progress": "", "access_ip_v4": nil, "access_ip_v6": nil,
		"image_meta": map[string]string{
			"base_image_ref": s.image, "min_ram": "0", "min_disk": strconv.Itoa(f.Disk), "container_format": "bare", "disk_format": "qcow2",
		},
		"metadata": s.metadata,
	}
}

// strtime is null_safe_isotime of the same file.
func strtime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(microTime)
}

func (s *server) fixedIPs() []any {
	ips := []any{}
	for _, p := range s.ports {
		ips = append(ips, map[string]any{
			"address": p.Address, "type": "fixed", "version": 4, "meta": map[string]any{}, "floating_ips": []any{},
			"label": p.Network, "vif_mac": p.MAC,
		})
	}
	return ips
}

// auditPeriod is the month so far (instance_usage_audit_period).
func (n *Nova) auditPeriod() (start, end time.Time) {
	now := n.config.Now().UTC()
	return time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC), now
}
