package qemutest

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/deskstorm/deskstorm/hypervisor/qmp"
	"github.com/deskstorm/deskstorm/internal/child"
	"github.com/deskstorm/deskstorm/lab/guest"
	"github.com/deskstorm/deskstorm/lab/qemu"
)

// DiskLoad is a guest that does nothing but use its disk: a request after the other, without end.
type DiskLoad struct {
	IOPS   int  // what QEMU lets through a second (throttling.iops-total); 0: all
	Writes bool // it writes; else it reads
}

// Sizes of DiskLoad's requests.
const (
	LoadRequestSize = loadSectors * 512 // bytes
	loadSectors     = 8
	loadFrom        = 64 // the first sector it uses
)

// bootSector asks the BIOS for the same sectors for ever (int 13h, extended read or write), real-mode code at 0x7c00.
func (l DiskLoad) bootSector() []byte {
	function := byte(0x42)
	if l.Writes {
		function = 0x43
	}
	sector := make([]byte, 512)
	code := []byte{
		0x31, 0xc0, //       xor ax, ax
		0x8e, 0xd8, //       mov ds, ax
		0x8e, 0xd0, //       mov ss, ax
		0xbc, 0x00, 0x7c, // mov sp, 0x7c00
		0xb4, function, //   mov ah, function
		0xb0, 0x00, //       mov al, 0          (write: without verifying)
		0xbe, 0x20, 0x7c, // mov si, 0x7c20     (the request below; dl is still the boot disk)
		0xcd, 0x13, //       int 0x13
		0xeb, 0xf5, //       jmp mov ah
	}
	copy(sector, code)
	request := []byte{16, 0, loadSectors, 0, 0x00, 0x80, 0, 0, loadFrom} // to and from the memory at 0x8000
	copy(sector[0x20:], request)
	binary.LittleEndian.PutUint16(sector[510:], 0xaa55)
	return sector
}

// StartDiskLoadT starts such a guest under QEMU's emulator, in a directory of its own that dies with the test, and returns the path
// of its QMP socket once QEMU answers there. The guest uses its disk some 100 ms later.
func StartDiskLoadT(t testing.TB, load DiskLoad) (socket string) {
	t.Helper()
	Require(t)
	dir, err := os.MkdirTemp("", "deskstorm-load-") // shorter than t.TempDir's: a socket's path has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	disk := filepath.Join(dir, "disk.img")
	if err := os.WriteFile(disk, load.bootSector(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(disk, guest.MinDiskSize); err != nil {
		t.Fatal(err)
	}
	drive := []string{"if=none", "id=disk", "format=raw", "file=" + disk}
	if load.IOPS > 0 {
		drive = append(drive, fmt.Sprintf("throttling.iops-total=%d", load.IOPS))
	}
	socket = filepath.Join(dir, "qmp.sock")
	process, err := child.Start(exec.Command(qemu.Program,
		"-name", "deskstorm-load", "-machine", "pc", "-accel", "tcg", "-m", "16M",
		"-no-user-config", "-nodefaults", "-display", "none", "-vga", "none",
		"-drive", strings.Join(drive, ","), "-device", "virtio-blk-pci,drive=disk",
		"-qmp", "unix:"+socket+",server=on,wait=off"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(process.Kill)
	for end := time.Now().Add(startTimeout); ; time.Sleep(10 * time.Millisecond) {
		_, err := qmp.Status(t.Context(), socket)
		if err == nil {
			return socket
		}
		if time.Now().After(end) {
			t.Fatalf("QEMU does not answer: %v; it wrote: %s", err, process.Said)
		}
	}
}
