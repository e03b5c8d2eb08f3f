package debian

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/hypervisors"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/services"
)

const (
	libvirtHost = "kvm01" // the compute node with libvirt
	// cpuRatio is how many virtual processors Nova gives away for each of the machine's.
	cpuRatio    = 64
	maxDesktops = 50 // of one processor each, and as many again for clients without a broker: less than cpuRatio * 2
)

// fakeHost is the i-th compute node of Nova's fake driver.
func fakeHost(i int) string { return fmt.Sprintf("fake%02d", i+1) }

func novaAPI() service {
	return service{
		name:    "nova-api",
		ports:   []int{8774},
		command: func(l *Lab) *exec.Cmd { return l.nova("nova-api") },
		answers: answersHTTP(8774, "/"),
	}
}

func novaConductor() service {
	return service{
		name:    "nova-conductor",
		command: func(l *Lab) *exec.Cmd { return l.nova("nova-conductor") },
		answers: func(ctx context.Context, l *Lab) error {
			return l.novaServiceUp(ctx, "nova-conductor", "nova-conductor", "controller")
		},
	}
}

func novaScheduler() service {
	return service{
		name:    "nova-scheduler",
		command: func(l *Lab) *exec.Cmd { return l.nova("nova-scheduler") },
		answers: func(ctx context.Context, l *Lab) error {
			return l.novaServiceUp(ctx, "nova-scheduler", "nova-scheduler", "controller")
		},
	}
}

// novaCompute is a compute node.
func novaCompute(host string) service {
	name := "nova-compute-" + host
	return service{
		name: name,
		prepare: func(_ context.Context, l *Lab) error {
			if host == libvirtHost {
				return os.MkdirAll(l.data("nova", "instances"), 0o755)
			}
			return os.WriteFile(l.etc("nova-"+host+".conf"), []byte("[DEFAULT]\nhost = "+host+"\ncompute_driver = fake.MediumFakeDriver\n"+
				"instances_path = "+l.data("nova", "instances-"+host)+"\n"), 0o600)
		},
		command: func(l *Lab) *exec.Cmd {
			if host == libvirtHost {
				return l.nova("nova-compute", "nova-libvirt.conf")
			}
			return l.nova("nova-compute", "nova-"+host+".conf")
		},
		answers: func(ctx context.Context, l *Lab) error {
			if err := l.novaServiceUp(ctx, name, "nova-compute", host); err != nil {
				return err
			}
			return l.novaKnowsHypervisor(ctx, host)
		},
	}
}

// nova is a program of Nova's with further configuration files.
func (l *Lab) nova(program string, more ...string) *exec.Cmd {
	args := []string{"--config-file", l.etc("nova.conf")}
	for _, file := range more {
		args = append(args, "--config-file", l.etc(file))
	}
	return l.tool(context.Background(), program, args...)
}

// novaServiceUp asks whether a service has reported itself to Nova since this daemon of it was started.
func (l *Lab) novaServiceUp(ctx context.Context, daemon, binary, host string) error {
	r, err := l.daemons.Find(daemon)
	if err != nil {
		return err
	}
	compute, err := l.compute(ctx)
	if err != nil {
		return err
	}
	pages, err := services.List(compute, services.ListOpts{Binary: binary, Host: host}).AllPages(ctx)
	if err != nil {
		return err
	}
	all, err := services.ExtractServices(pages)
	if err != nil {
		return err
	}
	switch {
	case len(all) != 1:
		return fmt.Errorf("%d services %s on host %s are known to Nova", len(all), binary, host)
	case all[0].State != "up" && !all[0].ForcedDown: // which an administrator did, whether it runs or not
		return fmt.Errorf("%s on host %s is %s, as Nova says", binary, host, all[0].State)
	case all[0].UpdatedAt.Before(r.Began.Truncate(time.Second)):
		return fmt.Errorf("%s on host %s has not reported since it was started", binary, host)
	}
	return nil
}

// novaKnowsHypervisor asks whether the scheduler may send servers to a host: it is in a cell by then.
func (l *Lab) novaKnowsHypervisor(ctx context.Context, host string) error {
	compute, err := l.compute(ctx)
	if err != nil {
		return err
	}
	pages, err := hypervisors.List(compute, hypervisors.ListOpts{}).AllPages(ctx)
	if err != nil {
		return err
	}
	all, err := hypervisors.ExtractHypervisors(pages)
	if err != nil {
		return err
	}
	for _, h := range all {
		if h.Service.Host == host {
			return nil
		}
	}
	return errors.New("host " + host + " is not discovered by Nova's scheduler yet")
}
