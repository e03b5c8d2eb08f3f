package screen

// Scan codes of set 1 (IBM PC/XT), as SPICE's KEY_DOWN carries them. A key
// going up has the release bit.
const (
	scanRelease    = 0x80
	scanExtended   = 0xe0 // prefix of keys that the XT did not have
	scanPause      = 0xe1 // prefix of Pause, which two more codes follow
	scanBackspace  = 0x0e
	scanEnter      = 0x1c
	scanCtrl       = 0x1d
	scanShiftLeft  = 0x2a
	scanShiftRight = 0x36
	scanAlt        = 0x38
	scanSlash      = 0x35
	scanCapsLock   = 0x3a
	scanNumLock    = 0x45
	scanScrollLock = 0x46
	scanF12        = 0x58
)

// character is what a scan code types on a US keyboard, 0 for nothing.
func character(code byte, shift, caps bool) byte {
	for _, row := range [...]struct {
		first          byte
		plain, shifted string
	}{
		{0x02, "1234567890-=", "!@#$%^&*()_+"},
		{0x10, "qwertyuiop[]", "QWERTYUIOP{}"},
		{0x1e, "asdfghjkl;'`", "ASDFGHJKL:\"~"},
		{0x2b, "\\zxcvbnm,./", "|ZXCVBNM<>?"},
		{0x39, " ", " "},
	} {
		i := int(code) - int(row.first)
		if i < 0 || i >= len(row.plain) {
			continue
		}
		char := row.plain[i]
		if shift != (caps && 'a' <= char && char <= 'z') {
			char = row.shifted[i]
		}
		return char
	}
	return 0
}
