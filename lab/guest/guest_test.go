package guest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deskstorm/deskstorm/lab/guest"
	"github.com/deskstorm/deskstorm/lab/qemu/qemutest"
)

func TestImageIsABootSector(t *testing.T) {
	image := guest.Image()
	require.Len(t, image, 512)
	require.Equal(t, []byte{0x55, 0xaa}, image[510:], "the BIOS boots only what ends so")

	image[0]++
	require.NotEqual(t, image, guest.Image(), "Image must return a copy")
}

// TestImageIsBootS keeps the committed image in step with its source: run go generate where this fails.
func TestImageIsBootS(t *testing.T) {
	qemutest.RequireProgram(t, "as", "binutils")
	qemutest.RequireProgram(t, "ld", "binutils")
	object := filepath.Join(t.TempDir(), "boot.o")
	image := filepath.Join(t.TempDir(), "boot.img")

	out, err := exec.Command("as", "--32", "-o", object, "boot.S").CombinedOutput()
	require.NoError(t, err, "as: %s", out)
	out, err = exec.Command("ld", "-m", "elf_i386", "--oformat", "binary", "-Ttext", "0x7c00", "-o", image, object).CombinedOutput()
	require.NoError(t, err, "ld: %s", out)

	assembled, err := os.ReadFile(image)
	require.NoError(t, err)
	require.Equal(t, assembled, guest.Image(), "boot.img is not boot.S: run go generate ./lab/guest")
}
