package agent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/internal/activity"
	"github.com/deskstorm/deskstorm/internal/child"
	"github.com/deskstorm/deskstorm/lab/qemu"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
)

// The modules that Debian's cloud kernel needs to have input devices, in the order in which they are loaded.
var guestModules = []string{
	"evdev", "virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "virtio_input",
}

// A virtual PC runs the agent under Debian's kernel: the keys of a PS/2 keyboard are counted, and the movements of a mouse that is
// plugged in later.
func TestRealInputDevices(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		unavailable(t, "the guest's kernel is for amd64, and this machine is %s", runtime.GOARCH)
	}
	qemutest.Require(t)
	qemutest.RequireProgram(t, "dpkg-deb", "dpkg")
	kernel, initrd := guestImage(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	monitor := filepath.Join(t.TempDir(), "qmp")
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	cmd := exec.CommandContext(ctx, qemu.Program, "-nodefaults", "-machine", "pc", "-accel", "tcg", "-m", "256", "-display", "none",
		"-no-reboot", "-serial", "stdio", "-qmp", "unix:"+monitor+",server=on,wait=off", "-kernel", kernel, "-initrd", initrd,
		"-append", "console=ttyS0 quiet panic=-1 rdinit=/init")
	cmd.Stdout = w
	p, err := child.Start(cmd)
	require.NoError(t, err)
	defer p.Kill()
	require.NoError(t, w.Close())

	lines := bufio.NewScanner(r)
	var said []string
	total := uint64(0)
	next := func() (got activity.Report) {
		t.Helper()
		for lines.Scan() {
			text, ok := strings.CutPrefix(lines.Text(), "report ")
			if !ok {
				said = append(said, lines.Text())
				continue
			}
			require.NoError(t, json.Unmarshal([]byte(text), &got))
			require.NoError(t, got.Validate())
			total += got.Events
			return got
		}
		t.Fatalf("the guest ended: %s %s", strings.Join(said, "\n"), p.Said)
		return got
	}
	first := next()
	next()
	require.Zero(t, total)
	require.True(t, first.LastInput.IsZero())
	require.WithinDuration(t, first.To, first.State.Boot, 3*time.Minute)

	qmp := dialMonitor(t, monitor)
	for range 5 {
		qmp.do(t, `{"execute": "send-key", "arguments": {"keys": [{"type": "qcode", "data": "a"}], "hold-time": 20}}`)
		time.Sleep(50 * time.Millisecond) // QEMU holds one key at a time
	}
	var pressed activity.Report
	for total < 5 {
		pressed = next()
	}
	require.WithinDuration(t, pressed.To, pressed.LastInput, 5*time.Second)
	next()
	require.Equal(t, uint64(5), total) // no releases, no repetitions

	qmp.do(t, `{"execute": "device_add", "arguments": {"driver": "virtio-mouse-pci", "id": "mouse"}}`)
	for total < 6 { // until the guest has found it, movements go nowhere
		qmp.do(t, move1)
		next()
	}
	next() // what was under way comes now
	next()
	before := total
	for range 3 {
		qmp.do(t, move1)
		time.Sleep(50 * time.Millisecond)
	}
	for total < before+3 {
		next()
	}
	next()
	require.Equal(t, before+3, total) // one a movement, though it has two axes
}

const move1 = `{"execute": "input-send-event", "arguments": {"events": [
	{"type": "rel", "data": {"axis": "x", "value": 5}}, {"type": "rel", "data": {"axis": "y", "value": 5}}]}}`

// monitorLink speaks QMP.
type monitorLink struct {
	conn net.Conn
	in   *json.Decoder
}

func dialMonitor(t *testing.T, path string) *monitorLink {
	t.Helper()
	conn, err := net.Dial("unix", path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	m := &monitorLink{conn, json.NewDecoder(conn)}
	var greeting any
	require.NoError(t, m.in.Decode(&greeting))
	m.do(t, `{"execute": "qmp_capabilities"}`)
	return m
}

func (m *monitorLink) do(t *testing.T, command string) {
	t.Helper()
	require.NoError(t, m.conn.SetDeadline(time.Now().Add(time.Minute)))
	_, err := io.WriteString(m.conn, command)
	require.NoError(t, err)
	for {
		var answer struct{ Return, Error json.RawMessage }
		require.NoError(t, m.in.Decode(&answer))
		require.Empty(t, string(answer.Error))
		if answer.Return != nil { // else it is an event
			return
		}
	}
}

// guestImage returns Debian's cloud kernel, and a ramdisk with its modules and the agent. The kernel is kept in the user's cache.
func guestImage(t *testing.T) (kernel, initrd string) {
	t.Helper()
	tree := kernelTree(t)
	kernels, err := filepath.Glob(filepath.Join(tree, "boot", "vmlinuz-*"))
	require.NoError(t, err)
	require.Len(t, kernels, 1)

	init := filepath.Join(t.TempDir(), "init")
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", init, "./testdata/guest")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))

	var archive bytes.Buffer
	cpio(&archive, "dev", 0o040755, nil)
	cpio(&archive, "modules", 0o040755, nil)
	content, err := os.ReadFile(init)
	require.NoError(t, err)
	cpio(&archive, "init", 0o100755, content)
	for i, name := range guestModules {
		err := filepath.WalkDir(filepath.Join(tree, "lib", "modules"), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Base(path) != name+".ko" {
				return err
			}
			content, err := os.ReadFile(path)
			cpio(&archive, fmt.Sprintf("modules/%02d-%s.ko", i, name), 0o100644, content)
			return err
		})
		require.NoError(t, err)
	}
	cpio(&archive, "TRAILER!!!", 0, nil)
	initrd = filepath.Join(t.TempDir(), "initrd")
	require.NoError(t, os.WriteFile(initrd, archive.Bytes(), 0o600))
	return kernels[0], initrd
}

// cpio writes a file in the kernel's format of ramdisks (Documentation/driver-api/early-userspace/buffer-format.rst).
func cpio(w *bytes.Buffer, name string, mode uint32, content []byte) {
	pad := func() { w.Write(make([]byte, -w.Len()&3)) }
	fmt.Fprintf(w, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		w.Len(), mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0)
	w.WriteString(name + "\x00")
	pad()
	w.Write(content)
	pad()
}

// unavailable skips the test, or fails it in continuous integration.
func unavailable(t *testing.T, why string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" || os.Getenv("DESKSTORM_REQUIRE_PROGRAMS") == "1" {
		t.Fatalf(why, args...)
	}
	t.Skipf(why, args...)
}

// kernelTree is the unpacked package of Debian's newest cloud kernel. Where it cannot be had the test is skipped, or fails in
// continuous integration.
func kernelTree(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = t.TempDir()
	}
	out, err := exec.Command("apt-cache", "depends", "linux-image-cloud-amd64").CombinedOutput()
	name := regexp.MustCompile(`(?m)^\s*Depends: (linux-image-\S+)$`).FindSubmatch(out)
	if err != nil || name == nil {
		unavailable(t, "apt-cache knows no linux-image-cloud-amd64; apt-get update may help: %s", out)
	}
	tree := filepath.Join(cache, "deskstorm", "kernel", string(name[1]))
	if _, err := os.Stat(tree); err == nil {
		return tree
	}
	require.NoError(t, os.MkdirAll(filepath.Dir(tree), 0o755))
	work, err := os.MkdirTemp(filepath.Dir(tree), "new-*")
	require.NoError(t, err)
	defer os.RemoveAll(work)
	download := exec.Command("apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", string(name[1]))
	download.Dir = work
	if out, err := download.CombinedOutput(); err != nil {
		unavailable(t, "downloading the guest's kernel: %s", out)
	}
	debs, err := filepath.Glob(filepath.Join(work, "*.deb"))
	require.NoError(t, err)
	require.Len(t, debs, 1)
	out, err = exec.Command("dpkg-deb", "--extract", debs[0], filepath.Join(work, "tree")).CombinedOutput()
	require.NoError(t, err, string(out))
	if err := os.Rename(filepath.Join(work, "tree"), tree); err != nil {
		require.DirExists(t, tree) // another test was faster
	}
	return tree
}
