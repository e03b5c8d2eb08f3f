package ports

import (
	"context"
	"fmt"
	"math"
	"strconv"

	"github.com/ovn-kubernetes/libovsdb/ovsdb"
)

// columns are what is read of the schema Open_vSwitch: all have been there since its version 7 (2013), and newer schemas may
// have as many more as they like.
var columns = []struct {
	table   string
	columns []string
}{
	{"Bridge", []string{"_uuid", "name", "ports"}},
	{"Port", []string{"_uuid", "name", "interfaces", "tag", "other_config"}},
	{"Interface", []string{"_uuid", "name", "type", "ofport", "error", "external_ids"}},
}

// unset is the tag of a port that has none.
const unset = -1

// record is an interface of the database with what its port and its bridge say of it.
type record struct {
	Bridge, Port, Device string
	Type                 string // "" and "system": a device of the kernel's, which somebody else makes
	OFPort               int    // -1: Open vSwitch could not add it; 0: it has not tried
	Error                string
	IfaceID              string // whose it is: Neutron's ID of the port
	Tag                  int    // the VLAN; unset: none
	AgentTag             int    // the VLAN that Neutron's agent noted to have set; unset: none
	Network              string // the network's ID that Neutron's agent noted; empty: none
}

// readRecords reads the database in one transaction, so that its tables fit together.
func readRecords(ctx context.Context, database string) ([]record, error) {
	var selects []ovsdb.Operation
	for _, t := range columns {
		selects = append(selects, ovsdb.Operation{Op: ovsdb.OperationSelect, Table: t.table, Columns: t.columns, Where: []ovsdb.Condition{}})
	}
	results, err := transact(ctx, database, selects)
	if err != nil {
		return nil, fmt.Errorf("reading Open vSwitch's database at %s: %w", database, err)
	}
	return join(results[0].Rows, results[1].Rows, results[2].Rows), nil
}

// join follows the references from bridges to interfaces. A record without a bridge does not exist: the database removes it.
func join(bridges, ports, interfaces []ovsdb.Row) []record {
	portOf, interfaceOf := byUUID(ports), byUUID(interfaces)
	var all []record
	for _, bridge := range bridges {
		for _, portID := range uuids(bridge["ports"]) {
			port, ok := portOf[portID]
			if !ok {
				continue
			}
			config := texts(port["other_config"])
			for _, interfaceID := range uuids(port["interfaces"]) {
				i, ok := interfaceOf[interfaceID]
				if !ok {
					continue
				}
				r := record{
					Bridge: text(bridge["name"]), Port: text(port["name"]), Device: text(i["name"]), Type: text(i["type"]),
					OFPort: number(i["ofport"], 0), Error: text(i["error"]), IfaceID: texts(i["external_ids"])["iface-id"],
					Tag: number(port["tag"], unset), AgentTag: unset, Network: config["net_uuid"],
				}
				if tag, err := strconv.Atoi(config["tag"]); err == nil {
					r.AgentTag = tag
				}
				all = append(all, r)
			}
		}
	}
	return all
}

func byUUID(rows []ovsdb.Row) map[string]ovsdb.Row {
	m := make(map[string]ovsdb.Row, len(rows))
	for _, row := range rows {
		for _, id := range uuids(row["_uuid"]) {
			m[id] = row
		}
	}
	return m
}

// The values of a row: an atom stands for a set of one (RFC 7047, section 5.1).

func uuids(v any) []string {
	switch v := v.(type) {
	case ovsdb.UUID:
		return []string{v.GoUUID}
	case ovsdb.OvsSet:
		var ids []string
		for _, each := range v.GoSet {
			ids = append(ids, uuids(each)...)
		}
		return ids
	}
	return nil
}

func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case ovsdb.OvsSet:
		if len(v.GoSet) == 1 {
			return text(v.GoSet[0])
		}
	}
	return ""
}

func number(v any, absent int) int {
	switch v := v.(type) {
	case float64:
		if math.Abs(v) <= math.MaxInt32 {
			return int(v)
		}
	case int:
		return v
	case ovsdb.OvsSet:
		if len(v.GoSet) == 1 {
			return number(v.GoSet[0], absent)
		}
	}
	return absent
}

func texts(v any) map[string]string {
	m := map[string]string{}
	if of, ok := v.(ovsdb.OvsMap); ok {
		for key, value := range of.GoMap {
			m[text(key)] = text(value)
		}
	}
	return m
}
