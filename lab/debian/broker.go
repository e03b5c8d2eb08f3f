package debian

import (
	"context"
	"fmt"
	"os"
	"os/exec"

	"github.com/goccy/go-yaml"

	"github.com/deskstorm/deskstorm/lab/folder"
)

const brokerPort = 8080

// CloudName is the administrator's in clouds.yaml, in the project of desktops.
const CloudName = "debian"

func broker() service {
	return service{
		name:  "broker",
		ports: []int{brokerPort},
		command: func(l *Lab) *exec.Cmd {
			cmd := exec.Command(l.Program[0], append(l.Program[1:len(l.Program):len(l.Program)], "broker", "--config.file", l.path(folder.BrokerFile, nil))...)
			cmd.Env = l.environment()
			return cmd
		},
		answers: answersHTTP(brokerPort, "/-/ready"),
	}
}

// Broker is the broker's URL.
func (l *Lab) Broker() string { return l.url(brokerPort) }

// writeClientFiles writes what clients and the broker need to find the cloud.
func (l *Lab) writeClientFiles(context.Context) error {
	text, err := l.cloudsYAML()
	if err != nil {
		return err
	}
	if err := os.WriteFile(l.path(folder.CloudsFile, nil), text, 0o600); err != nil {
		return err
	}
	if err := folder.WriteUsers(l.Dir, folder.Users(l.Users)); err != nil {
		return err
	}
	if err := folder.WriteEnvironment(l.Dir, l.Environment()); err != nil {
		return err
	}
	agents, supervisors := folder.Shares(l.Users, l.Desktops, l.Ready)
	_, err = folder.Broker{
		Listen: l.at(brokerPort), Cloud: CloudName, LDAP: l.LDAP(), People: l.people, Token: l.secrets.Operator,
		Agents: agents, Supervisors: supervisors,
	}.Write(l.Dir)
	return err
}

// Environment is where the cloud is, as NAME=VALUE, for scripts of package scenarios and for OpenStack's own tools.
func (l *Lab) Environment() []string {
	return folder.Environment(l.Dir, l.Broker(), CloudName, usersDomain)
}

func (l *Lab) cloudsYAML() ([]byte, error) {
	cloud := func(projectName string) map[string]any {
		return map[string]any{
			"auth": map[string]string{
				"auth_url": l.AuthURL(), "username": "admin", "password": l.secrets.Admin, "user_domain_name": "Default",
				"project_name": projectName, "project_domain_name": "Default",
			},
			"region_name": region, "identity_api_version": "3",
		}
	}
	text, err := yaml.Marshal(map[string]any{"clouds": map[string]any{CloudName: cloud(project), CloudName + "-admin": cloud("admin")}})
	if err != nil {
		return nil, fmt.Errorf("writing clouds.yaml: %w", err)
	}
	return text, nil
}
