package debian

import (
	"context"
	"os/exec"
)

func placement() service {
	return service{
		name:  "placement",
		ports: []int{8778},
		command: func(l *Lab) *exec.Cmd {
			cmd := l.tool(context.Background(), uwsgi, "--ini", l.etc("placement-uwsgi.ini"))
			cmd.Env = l.environment("OS_PLACEMENT_CONFIG_DIR=" + l.etc("placement"))
			return cmd
		},
		answers: answersHTTP(8778, "/"),
	}
}
