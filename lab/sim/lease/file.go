package lease

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Files are the lease files of networks, as Neutron's DHCP agent has its dnsmasq write them: DIR/NETWORK/leases, a line a lease with
// when it expires (seconds since 1970), MAC, address, host name and client id (lease_update_file of dnsmasq's lease.c).
type Files struct {
	dir     string
	written map[string][]Lease // by network
}

// NewFiles writes below a folder, such as Neutron's /var/lib/neutron/dhcp, which is made if it is not there.
func NewFiles(dir string) *Files { return &Files{dir: dir, written: map[string][]Lease{}} }

// Write brings the files up to date; those without a change are left alone. A reader sees a file before or after a change, not
// in the middle of one. A network that has lost all its leases keeps an empty file.
func (f *Files) Write(leases []Lease) error {
	now := make(map[string][]Lease, len(f.written))
	for network := range f.written {
		now[network] = nil
	}
	for _, l := range leases {
		now[l.Network] = append(now[l.Network], l)
	}
	var errs []error
	for network, of := range now {
		if before, ok := f.written[network]; ok && slices.Equal(before, of) {
			continue
		}
		if err := f.write(network, of); err != nil {
			errs = append(errs, fmt.Errorf("writing the leases of network %s: %w", network, err))
			continue
		}
		f.written[network] = of
	}
	return errors.Join(errs...)
}

func (f *Files) write(network string, leases []Lease) error {
	dir := filepath.Join(f.dir, network)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var text []byte
	for _, l := range leases {
		text = l.appendLine(text)
	}
	file := filepath.Join(dir, "leases")
	if err := os.WriteFile(file+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// Remove removes what was written.
func (f *Files) Remove() error {
	err := os.RemoveAll(f.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// appendLine appends the lease's line of the file. Neutron gives each port a name made of its address, and clients commonly identify
// themselves by their Ethernet address, hardware type 1 (RFC 2132, section 9.14).
func (l Lease) appendLine(text []byte) []byte {
	text = strconv.AppendInt(text, l.Expires.Unix(), 10)
	for _, part := range []string{" ", l.MAC, " ", l.Address, " host-", strings.ReplaceAll(l.Address, ".", "-"), " 01:", l.MAC, "\n"} {
		text = append(text, part...)
	}
	return text
}
