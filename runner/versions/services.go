package versions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/hypervisor"
)

// Own is this program, the k6 inside it, and what it was built with.
func Own() Source {
	return Source{Where: "this program", Get: func(context.Context) (Found, error) {
		info, _ := debug.ReadBuildInfo()
		return own(info), nil
	}}
}

func own(info *debug.BuildInfo) Found {
	found := Found{Go: {strings.TrimPrefix(runtime.Version(), "go")}}
	if info == nil {
		return found
	}
	version, revision, changed := info.Main.Version, "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = "+dirty"
		}
	}
	if (version == "" || version == "(devel)") && revision != "" {
		version = revision + changed
	}
	if version != "" {
		found[Deskstorm] = []string{version}
	}
	for _, d := range info.Deps {
		if d.Path == "go.k6.io/k6/v2" {
			found[K6] = []string{strings.TrimPrefix(d.Version, "v")}
		}
	}
	return found
}

// LibvirtHost asks a host's libvirtd.
func LibvirtHost(h *hypervisor.Host) Source {
	return Source{Where: h.String(), Get: func(ctx context.Context) (Found, error) {
		libvirt, qemu, err := h.Versions(ctx)
		if err != nil {
			return nil, err
		}
		return Found{Libvirt: {libvirt}, QEMU: {qemu}}, nil
	}}
}

// Compute is what is asked of a cloud: *cloud.Cloud.
type Compute interface {
	ComputeMicroversion() string
	Hypervisors(ctx context.Context) ([]cloud.Hypervisor, error)
}

// Nova asks a cloud's compute service: its microversion, and its hypervisors' versions where it tells them (to administrators). The
// microversion is the highest that both sides know, at most 2.99: releases after 2024.2 are one.
func Nova(c Compute) Source {
	return Source{Where: "the compute service", Get: func(ctx context.Context) (Found, error) {
		found := Found{OpenStack: {"nova " + c.ComputeMicroversion()}}
		all, err := c.Hypervisors(ctx)
		for _, h := range all {
			if (h.Type == "QEMU" || h.Type == "KVM") && h.Version > 0 {
				found[QEMU] = append(found[QEMU], fmt.Sprintf("%d.%d.%d", h.Version/1_000_000, h.Version/1000%1000, h.Version%1000))
			}
		}
		return found, err
	}}
}

// maxAnswer bounds the management API's answer in bytes; it has some kilobytes a node.
const maxAnswer = 4 << 20

// Broker asks RabbitMQ's management API, at a URL such as http://10.0.0.5:15672, for the versions of the cluster's nodes. The user
// needs the tag monitoring.
func Broker(client *http.Client, url, user, password string) Source {
	m := management{client, strings.TrimSuffix(url, "/"), user, password}
	return Source{Where: "RabbitMQ's management API", Get: func(ctx context.Context) (Found, error) {
		var nodes []struct {
			Applications []struct {
				Name    string `json:"name"`
				Version string `json:"version"`
			} `json:"applications"`
		}
		if err := m.get(ctx, "/api/nodes", &nodes); err != nil {
			return nil, err
		}
		var all []string
		for _, n := range nodes {
			for _, a := range n.Applications {
				if a.Name == "rabbit" {
					all = append(all, a.Version)
				}
			}
		}
		if len(all) > 0 {
			return Found{RabbitMQ: all}, nil
		}
		// A node that was just started has not counted its applications yet.
		var overview struct {
			Version string `json:"rabbitmq_version"`
		}
		if err := m.get(ctx, "/api/overview", &overview); err != nil {
			return nil, err
		}
		return Found{RabbitMQ: {overview.Version}}, nil
	}}
}

type management struct {
	client              *http.Client
	url, user, password string
}

func (m management) get(ctx context.Context, path string, to any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.url+path, nil)
	if err != nil {
		return errors.New("its URL is none") // the error shows it, and it may have a password
	}
	req.SetBasicAuth(m.user, m.password)
	resp, err := m.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s; its user needs the tag monitoring", resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(to); err != nil {
		return fmt.Errorf("its answer is not as expected: %w", err)
	}
	return nil
}
