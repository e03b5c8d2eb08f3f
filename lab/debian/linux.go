package debian

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// linuxInit is the first process of the Linux guest.
//
//go:embed linux/init
var linuxInit []byte

// linuxModules are what the guest needs beside what is built into Debian's cloud kernel, in the order in which they are loaded.
var linuxModules = []string{
	"virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "failover", "net_failover", "virtio_net",
	"af_packet",
}

const kernelPackage = "linux-image-cloud-amd64"

// linux makes the smallest Linux guest, Debian's kernel and busybox, and returns its kernel and its initial ramdisk. They are kept in
// the cache.
func (l *Lab) linux(ctx context.Context) (kernel, initrd string, err error) {
	dir := filepath.Join(l.Cache, "linux")
	kernel, initrd = filepath.Join(dir, "vmlinuz"), filepath.Join(dir, "initrd.gz")
	if _, err := os.Stat(initrd); err == nil { // it is made last
		return kernel, initrd, nil
	}
	work, err := os.MkdirTemp(l.Cache, "linux-*.new")
	if err != nil {
		return "", "", err
	}
	defer os.RemoveAll(work)
	if err := l.makeLinux(ctx, work, kernel, initrd); err != nil {
		return "", "", fmt.Errorf("making the Linux guest: %w", err)
	}
	l.say("the Linux guest is made, and kept in %s", dir)
	return kernel, initrd, nil
}

func (l *Lab) makeLinux(ctx context.Context, work, kernel, initrd string) error {
	name, err := l.kernelName(ctx)
	if err != nil {
		return err
	}
	download := l.tool(ctx, "apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", name)
	download.Dir = work
	if err := l.logged(download, "apt"); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(work, "*.deb"))
	if err != nil || len(debs) != 1 {
		return fmt.Errorf("apt-get download %s left %d packages: %w", name, len(debs), err)
	}
	tree, root := filepath.Join(work, "tree"), filepath.Join(work, "root")
	if err := l.logged(l.tool(ctx, "dpkg-deb", "--extract", debs[0], tree), "apt"); err != nil {
		return err
	}
	if err := fillRoot(tree, root); err != nil {
		return err
	}
	packed := filepath.Join(work, "initrd.gz")
	pack := l.tool(ctx, "sh", "-c", `find . | busybox cpio -o -H newc | gzip -1 > "$1"`, "pack", packed)
	pack.Dir = root
	if err := l.logged(pack, "linux"); err != nil {
		return err
	}
	kernels, err := filepath.Glob(filepath.Join(tree, "boot", "vmlinuz-*"))
	if err != nil || len(kernels) != 1 {
		return fmt.Errorf("package %s has %d kernels: %w", name, len(kernels), err)
	}
	if err := os.MkdirAll(filepath.Dir(kernel), 0o755); err != nil {
		return err
	}
	return errors.Join(os.Rename(kernels[0], kernel), os.Rename(packed, initrd))
}

// kernelName is the package that Debian's package of the newest kernel depends on.
func (l *Lab) kernelName(ctx context.Context) (string, error) {
	out, err := l.tool(ctx, "apt-cache", "depends", kernelPackage).Output()
	if err != nil {
		return "", fmt.Errorf("asking what %s depends on: %w", kernelPackage, err)
	}
	found := regexp.MustCompile(`(?m)^\s*Depends: (linux-image-\S+)$`).FindSubmatch(out)
	if found == nil {
		return "", fmt.Errorf("apt-cache knows no kernel for %s: apt-get update may help", kernelPackage)
	}
	return string(found[1]), nil
}

// fillRoot makes the initial ramdisk's tree: busybox, modules of the kernel's package, and the first process.
func fillRoot(tree, root string) error {
	for _, dir := range []string{"bin", "modules"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return err
	}
	if err := copyFile(busybox, filepath.Join(root, "bin", "busybox"), 0o755); err != nil {
		return err
	}
	at := map[string]string{}
	err = filepath.WalkDir(filepath.Join(tree, "lib", "modules"), func(path string, _ fs.DirEntry, err error) error {
		at[strings.TrimSuffix(filepath.Base(path), ".ko")] = path
		return err
	})
	if err != nil {
		return err
	}
	var load []string
	for _, module := range linuxModules {
		if at[module] == "" {
			continue // built into this kernel
		}
		if err := copyFile(at[module], filepath.Join(root, "modules", module+".ko"), 0o644); err != nil {
			return err
		}
		load = append(load, module)
	}
	if err := os.WriteFile(filepath.Join(root, "modules", "order"), []byte(strings.Join(load, "\n")+"\n"), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, "init"), linuxInit, 0o755)
}

func copyFile(from, to string, mode fs.FileMode) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, mode)
}
