package rabbitmq

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// Limits of what a management API may answer.
const (
	pageSize  = 500 // the API's own limit
	maxPages  = 400
	maxAnswer = 16 << 20 // bytes of a page; 500 connections take some 150 kB
)

// management asks the management API (https://www.rabbitmq.com/docs/management#http-api).
type management struct {
	Management
	client *http.Client
}

// httpClient makes a client that opens a connection for each request: one that is kept would be cut as others are.
func httpClient(roots *tls.Config, dial dialFunc) *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: roots, DialContext: dial, DisableKeepAlives: true,
	}}
}

// tlsConfig trusts the authorities in a file; nil if there is none.
func tlsConfig(ca string) (*tls.Config, error) {
	if ca == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, fmt.Errorf("reading the authorities' certificates: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("reading the authorities' certificates: %s has none", ca)
	}
	return &tls.Config{RootCAs: roots}, nil
}

// number is a number that the API may leave out, or have a word for while it does not know it.
type number struct {
	value int64
	known bool
}

func (n *number) UnmarshalJSON(b []byte) error {
	v, err := strconv.ParseFloat(string(b), 64)
	*n = number{int64(v), err == nil}
	return nil
}

// lenient is an object that the API may have another shape for: an empty one is an empty list there.
type lenient[T any] struct{ value T }

func (l *lenient[T]) UnmarshalJSON(b []byte) error {
	_ = json.Unmarshal(b, &l.value)
	return nil
}

// apiConnection is a connection in the API's words.
type apiConnection struct {
	Name         string // "10.1.0.7:40112 -> 10.2.0.1:5672"
	UserProvided string `json:"user_provided_name"`
	PeerHost     string `json:"peer_host"`
	PeerPort     number `json:"peer_port"`
	Timeout      number // the heartbeat, in seconds; 0: none
	RecvOct      number `json:"recv_oct"`
	SendOct      number `json:"send_oct"`
	Node         string
	Properties   lenient[struct {
		Name string `json:"connection_name"`
	}] `json:"client_properties"`
}

const connectionColumns = "name,user_provided_name,peer_host,peer_port,timeout,recv_oct,send_oct,node,client_properties.connection_name"

// givenName is what the client calls the connection; old brokers have it only among the client's properties.
func (c apiConnection) givenName() string {
	if c.UserProvided != "" {
		return c.UserProvided
	}
	return c.Properties.value.Name
}

// apiChannel is a channel in the API's words.
type apiChannel struct {
	Unacknowledged number                         `json:"messages_unacknowledged"`
	Connection     lenient[struct{ Name string }] `json:"connection_details"`
}

const channelColumns = "messages_unacknowledged,connection_details.name"

// connections lists all connections, or those of the configured node.
func (m *management) connections(ctx context.Context) ([]apiConnection, error) {
	var all []apiConnection
	seen := map[string]bool{} // pages move while connections come and go
	err := pages(ctx, m, "connections", connectionColumns, func(c apiConnection) {
		if !seen[c.Name] && (m.Node == "" || c.Node == m.Node) {
			seen[c.Name] = true
			all = append(all, c)
		}
	})
	return all, err
}

// unacknowledged counts the messages that each connection did not acknowledge.
func (m *management) unacknowledged(ctx context.Context) (map[string]int64, error) {
	count := map[string]int64{}
	err := pages(ctx, m, "channels", channelColumns, func(c apiChannel) {
		if c.Unacknowledged.value > 0 {
			count[c.Connection.value.Name] += c.Unacknowledged.value
		}
	})
	return count, err
}

func pages[T any](ctx context.Context, m *management, what, columns string, each func(T)) error {
	password, err := m.Password.Read()
	if err != nil {
		return err
	}
	for page := 1; ; page++ {
		var answer struct {
			Items []T
			Count int `json:"page_count"`
		}
		query := url.Values{"page": {strconv.Itoa(page)}, "page_size": {strconv.Itoa(pageSize)}, "columns": {columns}}
		if err := m.do(ctx, http.MethodGet, what+"?"+query.Encode(), m.User, password, &answer); err != nil {
			return fmt.Errorf("listing %s: %w", what, err)
		}
		for _, item := range answer.Items {
			each(item)
		}
		if page >= answer.Count {
			return nil
		}
		if page == maxPages {
			return fmt.Errorf("listing %s: there are more than %d", what, maxPages*pageSize)
		}
	}
}

// closeConnections closes the connections of a user that the user calls by a name.
func (m *management) closeConnections(ctx context.Context, user, password, name string) error {
	var all []apiConnection
	// Without the tag "monitoring" the list has the user's own connections only.
	if err := m.do(ctx, http.MethodGet, "connections?columns=name,user_provided_name,client_properties.connection_name", user, password, &all); err != nil {
		return fmt.Errorf("listing connections: %w", err)
	}
	var failed []error
	for _, c := range all {
		if c.givenName() == name {
			failed = append(failed, m.do(ctx, http.MethodDelete, "connections/"+url.PathEscape(c.Name), user, password, nil))
		}
	}
	return errors.Join(failed...)
}

// do asks the API once. The answer is read into to unless that is nil.
func (m *management) do(ctx context.Context, method, path, user, password string, to any) error {
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(m.URL, "/")+"/api/"+path, nil)
	if err != nil {
		return err
	}
	request.SetBasicAuth(user, password)
	response, err := m.client.Do(request)
	if err != nil {
		return fmt.Errorf("asking the management API: %w", err)
	}
	defer response.Body.Close()
	body := io.LimitReader(response.Body, maxAnswer)
	switch {
	case response.StatusCode == http.StatusUnauthorized, response.StatusCode == http.StatusForbidden:
		return fmt.Errorf("the management API at %s does not let %s in (%s): check the password and the user's tag", m.URL, user,
			response.Status)
	case response.StatusCode == http.StatusNotFound && method == http.MethodDelete:
		return nil // gone already
	case response.StatusCode >= 300:
		text, _ := io.ReadAll(io.LimitReader(body, 200))
		return fmt.Errorf("the management API at %s answered %s: %q", m.URL, response.Status, text)
	case to == nil:
		return nil
	}
	if err := json.NewDecoder(body).Decode(to); err != nil {
		return fmt.Errorf("reading the answer of the management API at %s: %w", m.URL, err)
	}
	return nil
}
