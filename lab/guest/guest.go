// Package guest holds the smallest desktop there is: a boot program for a virtual PC that puts on its screen what is
// typed on its keyboard. Thin clients are tested against it through a real SPICE server, where a desktop's operating
// system would be too large, too slow, or not run at all.
//
// It is one boot sector of real-mode code on BIOS services (boot.S; boot.img is the same, assembled). It runs under
// SeaBIOS with KVM or TCG, and halts the processor between interrupts.
//
// The screen is VGA text, 80 columns by 25 rows, with the blinking cursor of the hardware as its caret. It shows a title
// line, a line "ready", and below them what is typed:
//
//	printable ASCII  the character at the cursor; the last row scrolls
//	Enter            a new line
//	Backspace        erases the character to the left, in the current row only
//	F10              clears the screen; the cursor goes to its top left corner
//	F12              hangs: the processor halts with interrupts off, for ever
//	lock keys        the BIOS sets the keyboard's LEDs; Caps Lock and Num Lock change what the next keys print
//
// The BIOS throws away what the keyboard sends while it sets a LED: a key within some milliseconds after a lock key can
// be lost.
//
// On the first serial port (COM1) it sends ReadySignal when it takes keys, and does what single bytes tell it,
// at the latest at the next tick of its clock (55 ms):
//
//	H  answers h, then hangs as with F12
//	C  clears the screen as with F10, then answers c
package guest

import _ "embed"

//go:generate as --32 -o boot.o boot.S
//go:generate ld -m elf_i386 --oformat binary -Ttext 0x7c00 -o boot.img boot.o
//go:generate rm boot.o
//go:generate chmod 644 boot.img

//go:embed boot.img
var image string

// Bytes on COM1, see the package documentation.
const (
	ReadySignal  byte = 'R'
	HangCommand  byte = 'H'
	HangAnswer   byte = 'h'
	ClearCommand byte = 'C'
	ClearAnswer  byte = 'c'
)

// MinDiskSize is the smallest disk, in bytes, that SeaBIOS boots from: one cylinder of 16 heads and 63 sectors. It finds
// no geometry for a smaller one and does not read it.
const MinDiskSize = 16 * 63 * 512

// Image returns a copy of the boot sector, 512 bytes: the start of a raw disk of at least MinDiskSize.
func Image() []byte { return []byte(image) }
