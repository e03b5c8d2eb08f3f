package openstack

import (
	"context"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/exporters/collector"
)

var (
	servers = collector.Gauge("deskstorm_openstack_servers",
		"Servers of all projects, by Nova's status and availability zone.", "status", "zone")
	serverTasks = collector.Gauge("deskstorm_openstack_servers_in_task",
		"Servers that Nova is doing something with, by task.", "task")
	serverFaults = collector.Gauge("deskstorm_openstack_servers_failed",
		"Servers in status ERROR, by the class of their fault.", "class")
	notRunning = collector.Gauge("deskstorm_openstack_servers_active_not_running",
		"Servers in status ACTIVE without a task whose hypervisor does not say that they run.")
)

// statuses are Nova's (nova/api/openstack/common.py).
var statuses = []string{
	"ACTIVE", "BUILD", "ERROR", "HARD_REBOOT", "MIGRATING", "PASSWORD", "PAUSED", "REBOOT", "REBUILD", "RESCUE", "RESIZE",
	"REVERT_RESIZE", "SHELVED", "SHELVED_OFFLOADED", "SHUTOFF", "SUSPENDED", "UNKNOWN", "VERIFY_RESIZE",
}

// tasks are the ones of Nova's task states that desktops meet (nova/compute/task_states.py).
var tasks = []string{
	"block_device_mapping", "deleting", "migrating", "networking", "powering-off", "powering-on", "rebooting", "rebooting_hard",
	"rebuilding", "rebuild_spawning", "scheduling", "spawning", "shelving", "unshelving", "image_snapshot",
}

// Labels of zones.
const (
	maxZones = 50
	noZone   = "none" // Nova has not chosen a host
)

// powerRunning is Nova's power_state.RUNNING.
const powerRunning = 1

func (e *asker) updateServers(ctx context.Context, emit func(prometheus.Metric)) error {
	c, err := e.cloud.Cloud(ctx)
	if err != nil {
		return err
	}
	if e.servers == nil {
		e.servers = c.NewInventory(e.Relist)
	}
	all, err := e.servers.Servers(ctx)
	if err != nil {
		return err
	}
	emitServers(all, emit)
	return nil
}

func emitServers(all map[string]cloud.ServerState, emit func(prometheus.Metric)) {
	zones := labels{most: maxZones}
	for _, s := range all {
		zones.add(zoneOf(s))
	}
	byState, byTask, byFault := map[[2]string]int{}, map[string]int{}, map[string]int{}
	stopped := 0
	for _, s := range all {
		status := known(statuses, s.Status)
		byState[[2]string{status, zones.label(zoneOf(s))}]++
		if s.TaskState != "" {
			byTask[known(tasks, s.TaskState)]++
		}
		if status == "ERROR" {
			byFault[string(cloud.ClassifyFault(s.Fault))]++
		}
		if status == "ACTIVE" && s.TaskState == "" && s.PowerState != powerRunning {
			stopped++
		}
	}
	for _, zone := range zones.all() {
		for _, status := range append(slices.Clone(statuses), other) {
			emit(servers.Value(float64(byState[[2]string{status, zone}]), status, zone))
		}
	}
	for _, task := range append(slices.Clone(tasks), other) {
		emit(serverTasks.Value(float64(byTask[task]), task))
	}
	for _, class := range cloud.FaultClasses() {
		emit(serverFaults.Value(float64(byFault[string(class)]), string(class)))
	}
	emit(notRunning.Value(float64(stopped)))
}

func zoneOf(s cloud.ServerState) string {
	if s.Zone == "" {
		return noZone
	}
	return s.Zone
}

// known is the word if it is one of the list, else "other".
func known(list []string, word string) string {
	if slices.Contains(list, word) {
		return word
	}
	return other
}
