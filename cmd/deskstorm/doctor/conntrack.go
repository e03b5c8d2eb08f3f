package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// fullShare is the share of the connection tracking table above which it overflows at the next peak.
const fullShare = 0.8

// Conntrack checks this machine's connection tracking table, read from proc (a file system like /proc). When it is full
// the kernel drops the packets of new connections, which looks like a slow desktop.
func Conntrack(proc fs.FS, clients int) Check {
	return func(context.Context) Result {
		const dir = "sys/net/netfilter/"
		used, err := readInt(proc, dir+"nf_conntrack_count")
		if errors.Is(err, fs.ErrNotExist) {
			return Result{Check: "conntrack", Found: "not in use here"}
		}
		if err != nil {
			return unreadable("conntrack", err)
		}
		size, err := readInt(proc, dir+"nf_conntrack_max")
		if err != nil {
			return unreadable("conntrack", err)
		}
		need := used + int64(clients)*SocketsPerClient
		r := Result{
			Check: "conntrack",
			Found: fmt.Sprintf("%d of %d entries used, %d with %d clients", used, size, need, clients),
		}
		switch {
		case need > size:
			r.Level = Fail
		case float64(need) > fullShare*float64(size):
			r.Level = Warn
		}
		if r.Level != OK {
			r.Advice = fmt.Sprintf("Packets are dropped when it is full: sysctl -w net.netfilter.nf_conntrack_max=%d", 2*need)
		}
		return r
	}
}
