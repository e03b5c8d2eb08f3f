package debian

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"

	amqp "github.com/rabbitmq/amqp091-go"
)

// epmdPort is of the lab's own port mapper for Erlang's nodes, which also listens on 127.0.0.1, where a machine's own may be.
const epmdPort = 24369

func epmd() service {
	return service{
		name:  "epmd",
		ports: []int{epmdPort},
		command: func(l *Lab) *exec.Cmd {
			return l.tool(context.Background(), "epmd", "-address", l.Address, "-port", fmt.Sprint(epmdPort))
		},
		answers: func(ctx context.Context, l *Lab) error { return l.listens(ctx, epmdPort) },
	}
}

func (l *Lab) listens(ctx context.Context, port int) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.at(port))
	if err != nil {
		return err
	}
	return conn.Close()
}

func rabbitmq() service {
	return service{
		name:  "rabbitmq",
		ports: []int{5672, 15672, 15692},
		prepare: func(_ context.Context, l *Lab) error {
			if err := os.MkdirAll(l.data("rabbitmq"), 0o700); err != nil {
				return err
			}
			cookie := l.data("rabbitmq", ".erlang.cookie")
			if _, err := os.Stat(cookie); err == nil {
				return nil
			}
			return os.WriteFile(cookie, []byte(l.secrets.Cookie), 0o400)
		},
		command: func(l *Lab) *exec.Cmd {
			server := "/usr/sbin/rabbitmq-server" // which becomes the user rabbitmq; the program itself is deeper
			if found, _ := filepath.Glob("/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server"); len(found) > 0 {
				server = found[len(found)-1]
			}
			cmd := exec.Command(server)
			cmd.Env = l.rabbitEnvironment()
			return cmd
		},
		answers: func(ctx context.Context, l *Lab) error {
			conn, err := amqp.DialConfig(l.AMQP(), amqp.Config{
				Dial: func(network, address string) (net.Conn, error) {
					conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
					if err != nil {
						return nil, err
					}
					if deadline, ok := ctx.Deadline(); ok {
						err = conn.SetDeadline(deadline) // of the handshake; amqp091-go sets its own afterwards
					}
					return conn, err
				},
			})
			if err != nil {
				return errors.New("no login at RabbitMQ: " + err.Error())
			}
			return conn.Close()
		},
	}
}

// AMQP is RabbitMQ's URL, with a password: Nova's notifications are there.
func (l *Lab) AMQP() string { return "amqp://openstack:" + l.secrets.Messages + "@" + l.at(5672) + "/" }

func (l *Lab) rabbitEnvironment() []string {
	return l.environment(
		"HOME="+l.data("rabbitmq"),
		"RABBITMQ_NODENAME=deskstorm@localhost",
		"RABBITMQ_DIST_PORT=25672",
		"RABBITMQ_MNESIA_BASE="+l.data("rabbitmq"),
		"RABBITMQ_LOG_BASE="+l.logs(),
		"RABBITMQ_PID_FILE="+l.run("rabbitmq.pid"),
		"RABBITMQ_CONFIG_FILE="+l.etc("rabbitmq"),
		"RABBITMQ_ENABLED_PLUGINS_FILE="+l.etc("rabbitmq-plugins"),
		fmt.Sprintf("ERL_EPMD_PORT=%d", epmdPort),
		"ERL_EPMD_ADDRESS="+l.Address,
		// Schedulers that do not spin while they have nothing to do: the machine is shared.
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none "+
			"-kernel inet_dist_use_interface {"+commas(l.Address)+"}",
	)
}

// commas is an address as Erlang writes it.
func commas(address string) string {
	ip := net.ParseIP(address).To4()
	return fmt.Sprintf("%d,%d,%d,%d", ip[0], ip[1], ip[2], ip[3])
}
