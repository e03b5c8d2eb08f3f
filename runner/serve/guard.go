package serve

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"

	"github.com/goccy/go-yaml"
)

// authenticates says whether a web configuration, which is valid, lets nobody in who has not said who they are.
func authenticates(file string) (bool, error) {
	if file == "" {
		return false, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return false, fmt.Errorf("reading the web configuration: %w", err)
	}
	var c struct {
		Users map[string]string `yaml:"basic_auth_users"`
		TLS   struct {
			ClientAuth string `yaml:"client_auth_type"`
		} `yaml:"tls_server_config"`
	}
	if err := yaml.Unmarshal(text, &c); err != nil { // the error would show the file, and passwords' hashes with it
		return false, fmt.Errorf("reading the web configuration %s: it is no YAML that can be read here", file)
	}
	return len(c.Users) > 0 || c.TLS.ClientAuth == "RequireAndVerifyClientCert", nil
}

// stillAuthenticates refuses everything once the web configuration, which is read again for each request, lets anybody in.
func stillAuthenticates(file string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ok, err := authenticates(file); err != nil || !ok {
			fail(w, &refusal{http.StatusServiceUnavailable, "open",
				"The web configuration no longer asks people who they are; it did when the service was started."})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// mustBeLocal says what is wrong with an address that others than this machine can reach.
func mustBeLocal(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", address, err)
	}
	if isLocal(host) {
		return nil
	}
	return fmt.Errorf("listening on %s: whoever reaches that address could inject faults, because nobody has to say who they are; "+
		"give a web configuration with basic_auth_users or client certificates, listen on 127.0.0.1, "+
		"or allow it with --web.allow-unauthenticated", address)
}

func isLocal(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// onlyLocalNames refuses requests to another name than this machine's own. A page from elsewhere whose name is made to lead to
// 127.0.0.1 would be of the same origin, and could do all that this machine's people can.
func onlyLocalNames(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if !isLocal(strings.Trim(strings.ToLower(host), "[]")) {
			fail(w, &refusal{http.StatusMisdirectedRequest, "host",
				"This service answers to localhost and loopback addresses alone while nobody has to say who they are."})
			return
		}
		next.ServeHTTP(w, r)
	})
}
