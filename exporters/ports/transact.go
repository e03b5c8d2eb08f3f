package ports

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/ovn-kubernetes/libovsdb/ovsdb"
)

// maxAnswer bounds what is read of a database, in bytes: some 500 an interface, for 100,000 of them.
const maxAnswer = 64 << 20

// transact runs one transaction over a connection of its own (RFC 7047, section 4.1.3): there is nothing to reconnect, and what
// a dead server holds ends with the context.
//
// The words are libovsdb's; its client is not used, because it panics in a goroutine of its own at an answer that is malformed,
// where nobody can recover, reads without a bound, and asks for the whole schema, ten times as long as the answer, first.
func transact(ctx context.Context, database string, operations []ovsdb.Operation) ([]ovsdb.OperationResult, error) {
	network, address, _ := strings.Cut(database, ":")
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("%w; does ovsdb-server run?", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	answer, err := call(conn, message{Method: "transact", Params: ovsdb.NewTransactArgs("Open_vSwitch", operations...), ID: 1})
	if ctx.Err() != nil {
		return nil, fmt.Errorf("waiting for the answer: %w", context.Cause(ctx))
	}
	if err != nil {
		return nil, err
	}
	results, err := decode(answer)
	if err != nil {
		return nil, err
	}
	if refused, err := ovsdb.CheckOperationResults(results, operations); err != nil {
		if len(refused) > 0 {
			err = refused[0]
		}
		return nil, fmt.Errorf("it refuses: %w", err)
	}
	return results, nil
}

// message is a request or an answer of JSON-RPC 1.0.
type message struct {
	Method string `json:"method,omitempty"`
	Params any    `json:"params,omitempty"`
	Result any    `json:"result,omitempty"`
	Error  any    `json:"error"`
	ID     any    `json:"id"`
}

// call sends a request and returns its result. Meanwhile it answers the server's own echo requests.
func call(conn io.ReadWriter, request message) (json.RawMessage, error) {
	out := json.NewEncoder(conn)
	if err := out.Encode(request); err != nil {
		return nil, fmt.Errorf("asking: %w", err)
	}
	in := json.NewDecoder(io.LimitReader(conn, maxAnswer))
	for {
		var m struct {
			Method                    string
			Params, Result, Error, ID json.RawMessage
		}
		if err := in.Decode(&m); err != nil {
			return nil, fmt.Errorf("reading the answer: %w", err)
		}
		switch {
		case m.Method == "echo":
			if err := out.Encode(message{Result: m.Params, ID: m.ID}); err != nil {
				return nil, fmt.Errorf("answering an echo: %w", err)
			}
		case m.Method != "":
		case len(m.Error) > 0 && string(m.Error) != "null":
			return nil, fmt.Errorf("it refuses: %.200s", m.Error)
		default:
			return m.Result, nil
		}
	}
}

// decode reads a transaction's result. libovsdb's notation panics where an answer is malformed.
func decode(answer json.RawMessage) (results []ovsdb.OperationResult, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("the answer is malformed: this is no ovsdb-server")
		}
	}()
	if err := json.Unmarshal(answer, &results); err != nil {
		return nil, fmt.Errorf("the answer is malformed: %w", err)
	}
	return results, nil
}
