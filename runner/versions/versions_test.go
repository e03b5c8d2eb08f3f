package versions

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/cloud"
	"github.com/deskstorm/deskstorm/hypervisor"
	"github.com/deskstorm/deskstorm/lab/libvirt"
	"github.com/deskstorm/deskstorm/lab/libvirt/libvirttest"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
	"github.com/deskstorm/deskstorm/lab/rabbitmq"
	"github.com/deskstorm/deskstorm/runner/target"
)

func TestText(t *testing.T) {
	for want, versions := range map[string][]string{
		"":                          {"", " \n"},
		"8.2.2":                     {"8.2.2", " 8.2.2\n", "8.2.2"},
		"7.9.0 (2), 7.10.0 (1)":     {"7.10.0", "7.9.0", "7.9.0"},
		"1 2 3 (1), nova 2 (1)":     {"1,2\x003", "nova 2"},
		strings.Repeat("x", 80):     {strings.Repeat("x", 200)},
		"6.1.0-9 (1), 6.1.0-10 (1)": {"6.1.0-10", "6.1.0-9"},
	} {
		require.Equal(t, want, Text(versions))
	}
	require.Equal(t, "7.9.0, 7.10.0", Combination("7.9.0 (2), 7.10.0 (1)"))
	require.Equal(t, "8.2.2", Combination("8.2.2"))
	require.Equal(t, "8.2.2 (1)", Combination("8.2.2 (1)"), "so it was called by somebody else")
	require.Equal(t, Combination(Text([]string{"a", "b", "b"})), Combination(Text([]string{"a", "a", "b"})))
	ordered := []string{"", "1", "1.2", "1.2a", "1.10", "2", "10", "a"}
	for i := range ordered {
		for j := range ordered {
			require.Equal(t, i < j, Compare(ordered[i], ordered[j]) < 0, "%q %q", ordered[i], ordered[j])
		}
	}
	require.Zero(t, Compare("1.02", "1.2"))
}

func TestCollect(t *testing.T) {
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	give := func(f Found, err error) func(context.Context) (Found, error) {
		return func(context.Context) (Found, error) { return f, err }
	}
	got, err := Collect(t.Context(), 50*time.Millisecond, []Source{
		{"a", give(Found{QEMU: {"7.2.4"}, Kernel: {"6.1"}}, nil)},
		{"b", give(Found{QEMU: {"8.2.2"}}, errors.New("it is half there"))},
		{"c", give(nil, errors.New("it is not there"))},
		{"d", func(context.Context) (Found, error) { <-hang; return nil, nil }},
		{"e", func(ctx context.Context) (Found, error) { <-ctx.Done(); return nil, ctx.Err() }},
	})
	require.Equal(t, map[string]string{QEMU: "7.2.4 (1), 8.2.2 (1)", Kernel: "6.1"}, got)
	for _, says := range []string{"b for versions: it is half there", "c for versions: it is not there", "d for versions: context deadline", "e for"} {
		require.ErrorContains(t, err, says)
	}
}

func TestHere(t *testing.T) {
	qemutest.RequireProgram(t, "dnsmasq", "dnsmasq-base")
	uname, err := exec.CommandContext(t.Context(), "uname", "-r").Output()
	require.NoError(t, err)
	got, err := Collect(t.Context(), time.Minute, []Source{Host("this machine", Here), Own()})
	require.NoError(t, err)
	require.Equal(t, strings.TrimSpace(string(uname)), got[Kernel])
	for name, program := range map[string]string{QEMU: "qemu-system-x86_64", Libvirt: "libvirtd", OVS: "ovs-vsctl", Dnsmasq: "dnsmasq"} {
		if _, err := exec.LookPath(program); err == nil {
			require.Regexp(t, `^\d+\.\d+`, got[name], program)
		}
	}
	require.Regexp(t, `^1\.\d+`, got[Go])

	only, err := Host("this machine", Here, Kernel).Get(t.Context())
	require.NoError(t, err)
	require.Len(t, only, 1)
}

type executor func(target.Step) (string, error)

func (e executor) Do(_ context.Context, s target.Step) (string, error) { return e(s) }

func TestAt(t *testing.T) {
	e := executor(func(s target.Step) (string, error) {
		require.Equal(t, "compute-3", s.Target)
		switch s.Command.Argv[0] {
		case "uname":
			return "6.1.0-40-amd64\n", nil
		case "qemu-system-x86_64":
			return "QEMU emulator version 8.2.2 (Debian 1:8.2.2+ds-0ubuntu1)\nCopyright (c) 2003-2023 Fabrice Bellard\n", nil
		case "dnsmasq":
			return "what?", nil
		}
		return "", errors.New("not found")
	})
	found, err := Host("compute-3", At(e, "compute-3")).Get(t.Context())
	require.NoError(t, err)
	require.Equal(t, Found{Kernel: {"6.1.0-40-amd64"}, QEMU: {"8.2.2"}}, found)
	gone := executor(func(target.Step) (string, error) { return "", errors.New("no route to host") })
	_, err = Host("compute-3", At(gone, "compute-3")).Get(t.Context())
	require.ErrorContains(t, err, "no route to host")
}

func TestOwn(t *testing.T) {
	require.Equal(t, []string{"v1.2.3"}, own(&debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}})[Deskstorm])
	f := own(&debug.BuildInfo{Main: debug.Module{Version: "(devel)"}, Deps: []*debug.Module{{Path: "go.k6.io/k6/v2", Version: "v2.2.0"}},
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"}}})
	require.Equal(t, []string{"0123456789ab+dirty"}, f[Deskstorm])
	require.Equal(t, []string{"2.2.0"}, f[K6])
	require.NotContains(t, own(nil), Deskstorm)
}

type compute struct {
	hypervisors []cloud.Hypervisor
	err         error
}

func (c compute) ComputeMicroversion() string { return "2.96" }
func (c compute) Hypervisors(context.Context) ([]cloud.Hypervisor, error) {
	return c.hypervisors, c.err
}

func TestNova(t *testing.T) {
	got, err := Collect(t.Context(), time.Minute, []Source{Nova(compute{hypervisors: []cloud.Hypervisor{
		{Type: "QEMU", Version: 7002022}, {Type: "QEMU", Version: 8002002}, {Type: "ironic", Version: 1}, {Type: "QEMU"}, {Type: "QEMU", Version: 8002002}}})})
	require.NoError(t, err)
	require.Equal(t, map[string]string{OpenStack: "nova 2.96", QEMU: "7.2.22 (1), 8.2.2 (2)"}, got)
	got, err = Collect(t.Context(), time.Minute, []Source{Nova(compute{err: errors.New("forbidden")})})
	require.ErrorContains(t, err, "forbidden")
	require.Equal(t, map[string]string{OpenStack: "nova 2.96"}, got)
}

func TestLibvirtHost(t *testing.T) {
	daemon := libvirttest.StartT(t, libvirt.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	h, err := hypervisor.Connect(ctx, daemon.URI())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	found, err := LibvirtHost(h).Get(ctx)
	require.NoError(t, err)
	require.Regexp(t, `^\d+\.\d+\.\d+$`, found[Libvirt][0])
	require.Regexp(t, `^\d+\.\d+\.\d+$`, found[QEMU][0])
}

func TestBroker(t *testing.T) {
	qemutest.RequireProgram(t, rabbitmq.Program(), "rabbitmq-server")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	server, err := rabbitmq.StartConfig(ctx, rabbitmq.Config{Management: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	found, err := Broker(http.DefaultClient, server.Management, "guest", "guest").Get(ctx)
	require.NoError(t, err)
	require.Len(t, found[RabbitMQ], 1)
	require.Regexp(t, `^\d+\.\d+\.\d+`, found[RabbitMQ][0])
	_, err = Broker(http.DefaultClient, server.Management, "guest", "wrong").Get(ctx)
	require.ErrorContains(t, err, "401")
}

func TestBrokerThatIsNone(t *testing.T) {
	says := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(says)) }))
	t.Cleanup(server.Close)
	for _, says = range []string{"", "<html>", `{"error":"x"}`, `[{"applications":5}]`} {
		_, err := Broker(server.Client(), server.URL, "u", "p").Get(t.Context())
		require.ErrorContains(t, err, "not as expected")
	}
	for _, says = range []string{"[]", `[{"applications":[{"name":"cowboy","version":"2"}]}]`} {
		_, err := Broker(server.Client(), server.URL, "u", "p").Get(t.Context())
		require.ErrorContains(t, err, "not as expected", "of the overview")
	}
	_, err := Broker(server.Client(), "http://u:secret@h:x", "u", "secret").Get(t.Context())
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret")
}
