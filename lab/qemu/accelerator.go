package qemu

import (
	"os"

	"golang.org/x/sys/unix"
)

// KVM_GET_API_VERSION and the version it has answered since Linux 2.6.22 (linux/kvm.h).
const (
	kvmGetAPIVersion = 0xae00
	kvmAPIVersion    = 12
)

// Accelerator returns "kvm" where this process may use /dev/kvm, else "tcg", QEMU's emulator, which needs nothing.
func Accelerator() string {
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return "tcg"
	}
	defer f.Close()
	if version, err := unix.IoctlRetInt(int(f.Fd()), kvmGetAPIVersion); err != nil || version != kvmAPIVersion {
		return "tcg"
	}
	return "kvm"
}
