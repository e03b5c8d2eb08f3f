package debian

import (
	"context"
	"os"
	"os/exec"
)

func glance() service {
	return service{
		name:    "glance",
		ports:   []int{9292},
		prepare: func(_ context.Context, l *Lab) error { return os.MkdirAll(l.data("glance"), 0o755) },
		command: func(l *Lab) *exec.Cmd {
			return l.tool(context.Background(), "glance-api", "--config-file", l.etc("glance-api.conf"))
		},
		answers: answersHTTP(9292, "/versions"),
	}
}
