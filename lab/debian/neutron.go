package debian

import (
	"context"
	"fmt"
	"os/exec"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/agents"
)

func neutronServer() service {
	return service{
		name:  "neutron-server",
		ports: []int{9696},
		command: func(l *Lab) *exec.Cmd {
			cmd := l.neutron("neutron-server", "ml2.ini")
			cmd.Env = l.environment("PYTHONPATH=" + l.data("python"))
			return cmd
		},
		answers: answersHTTP(9696, "/"),
	}
}

func linuxbridge() service {
	return service{
		name:    "neutron-linuxbridge-agent",
		command: func(l *Lab) *exec.Cmd { return l.neutron("neutron-linuxbridge-agent", "linuxbridge.ini") },
		answers: func(ctx context.Context, l *Lab) error { return l.neutronAgentAlive(ctx, "neutron-linuxbridge-agent") },
	}
}

func dhcpAgent() service {
	return service{
		name:    "neutron-dhcp-agent",
		command: func(l *Lab) *exec.Cmd { return l.neutron("neutron-dhcp-agent", "dhcp.ini") },
		answers: func(ctx context.Context, l *Lab) error { return l.neutronAgentAlive(ctx, "neutron-dhcp-agent") },
	}
}

func (l *Lab) neutron(program, file string) *exec.Cmd {
	return l.tool(context.Background(), program, "--config-file", l.etc("neutron.conf"), "--config-file", l.etc(file))
}

// neutronAgentAlive asks whether an agent has reported itself since this daemon of it was started.
func (l *Lab) neutronAgentAlive(ctx context.Context, binary string) error {
	r, err := l.daemons.Find(binary)
	if err != nil {
		return err
	}
	network, err := l.network(ctx)
	if err != nil {
		return err
	}
	pages, err := agents.List(network, agents.ListOpts{Binary: binary, Host: libvirtHost}).AllPages(ctx)
	if err != nil {
		return err
	}
	all, err := agents.ExtractAgents(pages)
	if err != nil {
		return err
	}
	switch {
	case len(all) != 1:
		return fmt.Errorf("%d agents %s are known to Neutron", len(all), binary)
	case !all[0].Alive:
		return fmt.Errorf("%s is dead, as Neutron says", binary)
	case all[0].HeartbeatTimestamp.Before(r.Began.Truncate(time.Second)):
		return fmt.Errorf("%s has not reported since it was started", binary)
	}
	return nil
}
