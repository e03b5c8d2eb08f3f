package debian

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// MissingError says what keeps this machine from having the lab.
type MissingError struct{ Missing []string }

func (e *MissingError) Error() string {
	return "this machine cannot have the lab of real services: " + strings.Join(e.Missing, "; ") +
		". Nothing was changed. deskstorm lab up --sim runs anywhere"
}

// Missing is what this machine and this user lack for the lab, beside packages, which Up installs.
func Missing() []string {
	var missing []string
	if release := release("/etc/os-release"); release["ID"] != "debian" || release["VERSION_ID"] != "12" {
		missing = append(missing, fmt.Sprintf("it needs Debian 12, and this is %s", orUnknown(release["PRETTY_NAME"])))
	}
	if os.Geteuid() != 0 {
		missing = append(missing, "it needs root, and this is an ordinary user")
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		missing = append(missing, "apt-get is not in PATH")
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		missing = append(missing, "there is no /dev/net/tun, of which desktops have their network (modprobe tun)")
	}
	return missing
}

func orUnknown(name string) string {
	if name == "" {
		return "unknown"
	}
	return name
}

// release is what os-release(5) says.
func release(file string) map[string]string {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	values := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), "="); ok {
			values[name] = strings.Trim(value, `"'`)
		}
	}
	return values
}
