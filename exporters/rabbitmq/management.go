package rabbitmq

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/deskstorm/deskstorm/internal/authority"
)

// Limits of what a management API may answer. A connection takes 300 bytes.
const (
	maxItems  = 200_000
	maxAnswer = 256 << 20 // bytes
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
	roots, err := authority.Read(ca)
	if err != nil {
		return nil, err
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

const connectionColumns = "name,user_provided_name,peer_host,peer_port,timeout,recv_oct,send_oct,node," +
	"client_properties.connection_name"

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
	err := list(ctx, m, "connections", connectionColumns, func(c apiConnection) {
		if m.Node == "" || c.Node == m.Node {
			all = append(all, c)
		}
	})
	return all, err
}

// unacknowledged counts the messages that each connection did not acknowledge.
func (m *management) unacknowledged(ctx context.Context) (map[string]int64, error) {
	count := map[string]int64{}
	err := list(ctx, m, "channels", channelColumns, func(c apiChannel) {
		if c.Unacknowledged.value > 0 {
			count[c.Connection.value.Name] += c.Unacknowledged.value
		}
	})
	return count, err
}

// list asks for all items at once. For each page of a list in pages the broker gathers the whole list, which took RabbitMQ 3.10
// more than a minute for 10,000 connections.
func list[T any](ctx context.Context, m *management, what, columns string, each func(T)) error {
	password, err := m.Password.Read()
	if err != nil {
		return err
	}
	path := what + "?" + url.Values{"columns": {columns}}.Encode()
	err = m.do(ctx, http.MethodGet, path, m.User, password, func(d *json.Decoder) error { return items(d, each) })
	if err != nil {
		return fmt.Errorf("listing %s: %w", what, err)
	}
	return nil
}

// items reads a list item by item.
func items[T any](d *json.Decoder, each func(T)) error {
	if begin, err := d.Token(); err != nil || begin != json.Delim('[') {
		return errors.Join(errors.New("expected a list"), err)
	}
	for count := 0; d.More(); count++ {
		if count == maxItems {
			return fmt.Errorf("there are more than %d", maxItems)
		}
		var item T
		if err := d.Decode(&item); err != nil {
			return err
		}
		each(item)
	}
	_, err := d.Token() // the list's end, or the answer was cut
	return err
}

// closeConnections closes the connections of a user that the user calls by a name.
func (m *management) closeConnections(ctx context.Context, user, password, name string) error {
	// Without the tag "monitoring" the list has the user's own connections only.
	path := "connections?" + url.Values{"columns": {connectionColumns}}.Encode()
	var named []string
	err := m.do(ctx, http.MethodGet, path, user, password, func(d *json.Decoder) error {
		return items(d, func(c apiConnection) {
			if c.givenName() == name {
				named = append(named, c.Name)
			}
		})
	})
	if err != nil {
		return fmt.Errorf("listing connections: %w", err)
	}
	var failed []error
	for _, n := range named {
		failed = append(failed, m.do(ctx, http.MethodDelete, "connections/"+url.PathEscape(n), user, password, nil))
	}
	return errors.Join(failed...)
}

// do asks the API once. The answer is not read if read is nil.
func (m *management) do(ctx context.Context, method, path, user, password string, read func(*json.Decoder) error) error {
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
	case read == nil:
		return nil
	}
	if err := read(json.NewDecoder(body)); err != nil {
		return fmt.Errorf("reading the answer of the management API at %s: %w", m.URL, err)
	}
	return nil
}
