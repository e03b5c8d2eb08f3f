package libvirt

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// environment names the directories of a session daemon, all below the daemon's own.
func (d *Daemon) environment() []string {
	return []string{
		"HOME=" + d.dir,
		"XDG_CONFIG_HOME=" + filepath.Join(d.dir, "config"),
		"XDG_RUNTIME_DIR=" + filepath.Join(d.dir, "run"),
		"XDG_CACHE_HOME=" + filepath.Join(d.dir, "cache"),
		"XDG_DATA_HOME=" + filepath.Join(d.dir, "data"),
	}
}

// writeSettings writes libvirtd.conf, whose path it returns, and qemu.conf.
func (d *Daemon) writeSettings(config Config) (string, error) {
	for _, dir := range []string{"config/libvirt", "run", "cache", "data"} {
		if err := os.MkdirAll(filepath.Join(d.dir, dir), 0o700); err != nil {
			return "", err
		}
	}
	firstPort, err := freePort()
	if err != nil {
		return "", err
	}
	// What a host's daemon asks of systemd, of cgroups and of the security modules is left out: there is none of it here.
	qemuConf := []string{
		`security_driver = "none"`,
		`namespaces = []`,
		`cgroup_controllers = []`,
		`stdio_handler = "file"`,
		`remember_owner = 0`,
		fmt.Sprintf("remote_display_port_min = %d", firstPort),
		fmt.Sprintf("remote_display_port_max = %d", min(firstPort+displayPorts, 65535)),
	}
	if config.Ticketing {
		qemuConf = append(qemuConf, `spice_password = ""`)
	}
	libvirtdConf := []string{`auth_unix_rw = "none"`, `log_level = 3`}
	if config.TLSDir != "" {
		if d.TLSPort, err = freePort(); err != nil {
			return "", err
		}
		libvirtdConf = append(libvirtdConf,
			`listen_tls = 1`,
			`listen_tcp = 0`,
			`listen_addr = "127.0.0.1"`,
			fmt.Sprintf(`tls_port = "%d"`, d.TLSPort),
			fmt.Sprintf("key_file = %q", filepath.Join(config.TLSDir, "serverkey.pem")),
			fmt.Sprintf("cert_file = %q", filepath.Join(config.TLSDir, "servercert.pem")),
			fmt.Sprintf("ca_file = %q", filepath.Join(config.TLSDir, "cacert.pem")),
		)
	}
	settings := filepath.Join(d.dir, "config", "libvirt", "libvirtd.conf")
	if err := writeLines(settings, libvirtdConf); err != nil {
		return "", err
	}
	return settings, writeLines(filepath.Join(d.dir, "config", "libvirt", "qemu.conf"), qemuConf)
}

func writeLines(path string, lines []string) error {
	return os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600)
}

// freePort returns a loopback port that nobody listened on a moment ago.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("looking for a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
