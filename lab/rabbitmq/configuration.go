package rabbitmq

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

func (s *Server) file(name string) string { return filepath.Join(s.dir, name) }

// settings is rabbitmq.conf: a quiet broker that small machines have room for.
const settings = `loopback_users = none
log.console = true
log.console.level = error
log.file = false
disk_free_limit.absolute = 50MB
vm_memory_high_watermark.absolute = 512MB
`

// management is what rabbitmq.conf has besides for the API. Its figures come once in an interval, 5 s unless said otherwise.
const management = `management.tcp.ip = %s
management.tcp.port = %d
collect_statistics_interval = 1000
`

func (s *Server) configure() error {
	text, plugins := settings, "[].\n"
	if s.config.KeepAlive {
		text += "tcp_listen_options.keepalive = true\n"
	}
	if s.config.Management {
		text += fmt.Sprintf(management, s.config.Address, s.managementPort)
		plugins = "[rabbitmq_management].\n"
	}
	for name, text := range map[string]string{"rabbitmq.conf": text, "enabled_plugins": plugins} {
		if err := os.WriteFile(s.file(name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// command is a program in the broker's environment (https://www.rabbitmq.com/docs/configure#supported-environment-variables),
// without anything of the machine's own broker.
func (s *Server) command(program string, arguments ...string) *exec.Cmd {
	cmd := exec.Command(program, arguments...)
	if s.config.Namespace != nil {
		cmd = s.config.Namespace.Command(context.Background(), program, arguments...)
	}
	cmd.Dir = s.dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8",
		"HOME=" + s.dir, // of the Erlang cookie
		"ERL_EPMD_ADDRESS=" + host, "ERL_EPMD_PORT=" + strconv.Itoa(s.mapperPort),
		"RABBITMQ_NODENAME=deskstorm@localhost",
		"RABBITMQ_NODE_IP_ADDRESS=" + s.config.Address, "RABBITMQ_NODE_PORT=" + strconv.Itoa(s.port), "RABBITMQ_DIST_PORT=" + strconv.Itoa(s.node),
		"RABBITMQ_MNESIA_BASE=" + s.file("mnesia"), "RABBITMQ_LOG_BASE=" + s.file("log"), "RABBITMQ_PID_FILE=" + s.file("pid"),
		"RABBITMQ_CONFIG_FILE=" + s.file("rabbitmq"), "RABBITMQ_ENABLED_PLUGINS_FILE=" + s.file("enabled_plugins"),
		"RABBITMQ_CONF_ENV_FILE=/dev/null",
		"RUNNING_UNDER_SYSTEMD=true", // the script becomes the broker, so that the broker is whom we stop
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}",
	}
	return cmd
}
