package ports

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// maxNamespaces bounds where a missing device is looked for. A network node has a namespace for each network and router.
const maxNamespaces = 500

// devicesOf are the names of the network devices in a namespace, which is this program's if the path is empty. The kernel is
// asked over a socket in that namespace; no thread changes its own.
func devicesOf(namespace string) (map[string]bool, error) {
	if namespace == "" {
		namespace = "/proc/self/ns/net"
	}
	handle, closeHandle, err := openNamespace(namespace)
	if err != nil {
		return nil, err
	}
	defer closeHandle()
	links, err := handle.LinkList()
	// A list that changed while it was read may miss one, and is asked again.
	for attempt := 0; errors.Is(err, netlink.ErrDumpInterrupted) && attempt < 3; attempt++ {
		links, err = handle.LinkList()
	}
	if err != nil {
		return nil, fmt.Errorf("listing the network devices of %s: %w", namespace, err)
	}
	names := make(map[string]bool, len(links))
	for _, link := range links {
		names[link.Attrs().Name] = true
	}
	return names, nil
}

// devicesElsewhere are the devices of the namespaces in a folder, each with the name of the first namespace that has it. The
// context ends it early.
func devicesElsewhere(ctx context.Context, folder string) map[string]string {
	found := map[string]string{}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return found // nobody made any
	}
	for _, entry := range entries[:min(len(entries), maxNamespaces)] {
		if ctx.Err() != nil {
			break
		}
		devices, err := devicesOf(filepath.Join(folder, entry.Name()))
		if err != nil {
			continue // it may just have been removed
		}
		for device := range devices {
			if _, earlier := found[device]; !earlier {
				found[device] = entry.Name()
			}
		}
	}
	return found
}

func openNamespace(path string) (*netlink.Handle, func(), error) {
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the network namespace %s: %w", path, err)
	}
	defer ns.Close()
	handle, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, nil, fmt.Errorf("asking in the network namespace %s: %w; it needs CAP_SYS_ADMIN for one that is not its own",
			path, err)
	}
	return handle, handle.Close, nil
}
