package debian

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
)

func memcached() service {
	return service{
		name:  "memcached",
		ports: []int{11211},
		command: func(l *Lab) *exec.Cmd {
			return l.tool(context.Background(), "memcached", "-l", l.Address, "-p", "11211", "-U", "0", "-m", "64", "-c", "2048", "-u", "nobody")
		},
		answers: func(ctx context.Context, l *Lab) error {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.at(11211))
			if err != nil {
				return err
			}
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			if _, err := conn.Write([]byte("version\r\n")); err != nil {
				return err
			}
			answer, err := bufio.NewReader(conn).ReadString('\n')
			if err == nil && !strings.HasPrefix(answer, "VERSION ") {
				err = fmt.Errorf("memcached answered %q", answer)
			}
			return err
		},
	}
}
