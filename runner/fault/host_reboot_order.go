package fault

import (
	"context"

	"github.com/deskstorm/deskstorm/runner/native"
	"github.com/deskstorm/deskstorm/runner/target"
)

// hostRebootOrder is the order in which a host's services went down and came up in production: Open vSwitch before libvirt. libvirt takes
// its ports away when it stops; a switch that has stopped before keeps their records, and finds no devices for them when it starts.
func hostRebootOrder() kind {
	onHost := []native.Parameter{
		{Name: "ovs", Type: native.Text, Doc: "Open vSwitch's service; openvswitch-switch if absent; not of a lab"},
		{Name: "libvirt", Type: native.Text,
			Doc: "libvirt's service, whose stop ends the guests or whose start makes their ports; libvirtd if absent; not of a lab"},
	}
	inLab := []native.Parameter{
		{Name: "host", Type: native.Text, Doc: "of a lab: which"},
		{Name: "outage", Type: native.Duration, Doc: "of a lab: until the host is back; 0s if absent"},
	}
	return kind{
		name: "host.reboot_order", doc: "stops and starts a host's Open vSwitch before its libvirt, as a reboot did in production",
		parameters: append(onHost, inLab...),
		host: func(ctx context.Context, r *request) error {
			if err := r.without("it is a host", inLab); err != nil {
				return err
			}
			ovs, libvirt := r.Text("ovs", "openvswitch-switch"), r.Text("libvirt", "libvirtd")
			if err := r.mustRun(ctx, ovs, libvirt); err != nil {
				return err
			}
			r.Touches.Hosts = []string{r.at}
			r.whats("%s is stopped before %s and started before it on %s", ovs, libvirt, r.at)
			// The undo restarts them in the right order, and only if they were touched: a restart is no trifle.
			mark := r.machine.RunDir + "/" + r.tableName()
			r.applies(shell(`mkdir -p "$1" && : > "$2"`, r.machine.RunDir, mark))
			r.applies(r.stop(ovs), r.stop(libvirt), r.start(ovs), r.start(libvirt))
			for _, step := range []target.Step{r.stop(libvirt), r.stop(ovs), r.start(ovs), r.start(libvirt)} {
				r.undoes(shell(`[ ! -e "$1" ] || { shift; exec "$@"; }`, append([]string{mark}, step.Command.Argv...)...))
			}
			r.undoes(command("rm", "-f", mark))
			return nil
		},
		lab: func(ctx context.Context, r *request) error {
			if err := r.without("a lab has no such services", onHost); err != nil {
				return err
			}
			desktops, err := r.labHost(ctx)
			if err != nil {
				return err
			}
			r.Touches.Chosen = desktops
			r.whats("the host %s of the lab reboots, and its %d desktops run again without network", r.Text("host", ""), desktops)
			return r.switches("host.reboot_without_ports", r.passed(inLab))
		},
	}
}
