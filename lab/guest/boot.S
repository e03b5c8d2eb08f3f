# The guest desktop: a boot sector for a PC BIOS that echoes keys on an 80x25 text screen. See the package documentation
# (guest.go) for its keys and its commands on COM1.
#
# Real mode and BIOS services only, because that runs on every virtual PC, also under a paravirtual KVM that cannot run a
# distribution's kernel. Addresses below 0x500 are the BIOS data area.

	.set	COM1, 0x3f8
	.set	COM1_STATUS, COM1 + 5	# bit 0: a byte has been received
	.set	KBD_HEAD, 0x41a		# keyboard buffer: empty when head = tail
	.set	KBD_TAIL, 0x41c
	.set	KBD_FLAGS, 0x417	# bits 4-6: scroll, num, caps lock
	.set	KBD_LEDS, 0x497		# bits 0-2: the same, as last sent to the keyboard
	.set	KEY_F10, 0x44		# scan codes of int 16h function 10h
	.set	KEY_F12, 0x86
	.set	ATTRIBUTE, 0x07		# light grey on black

	.code16
	.globl	_start
_start:
	cli
	xor	%ax, %ax
	mov	%ax, %ds
	mov	%ax, %es
	mov	%ax, %ss
	mov	$0x7c00, %sp
	cld
	sti

	mov	$0x0003, %ax		# 80x25 text, which also shows the blinking cursor
	int	$0x10
	mov	$0x00e3, %ax		# COM1: 9600 baud, 8N1
	xor	%dx, %dx
	int	$0x14

	mov	$title, %si
1:	lodsb
	test	%al, %al
	jz	2f
	call	print
	jmp	1b
2:	mov	$'R', %al
	call	send

next:
	mov	$0x11, %ah		# key waiting? SeaBIOS sets the LEDs in every int 16h
	int	$0x16
	jz	command
	mov	$0x10, %ah		# take it; 10h, because 00h does not know F12
	int	$0x16
	cmp	$KEY_F12, %ah
	je	hang
	cmp	$KEY_F10, %ah
	je	blank
	cmp	$'\r', %al
	je	enter
	cmp	$'\b', %al
	je	erase
	cmp	$' ', %al
	jb	next
	cmp	$'~', %al
	ja	next
	call	print
	jmp	next

enter:
	call	print
	mov	$'\n', %al
	call	print
	jmp	next

erase:
	mov	$0x03, %ah		# cursor: row in dh, column in dl
	xor	%bh, %bh
	int	$0x10
	test	%dl, %dl
	jz	next
	mov	$'\b', %al
	call	print
	mov	$' ', %al
	call	print
	mov	$'\b', %al
	call	print
	jmp	next

blank:
	call	clear
	jmp	next

command:
	mov	$COM1_STATUS, %dx
	in	%dx, %al
	test	$1, %al
	jz	sleep
	mov	$COM1, %dx
	in	%dx, %al
	cmp	$'H', %al
	je	hang_told
	cmp	$'C', %al
	jne	next
	call	clear
	mov	$'c', %al
	call	send
	jmp	next

# Interrupts stay off between the last look and hlt (sti takes effect after the next instruction): a key that comes in
# between must not wait for the timer's next tick, 55 ms later. COM1 is looked at on that tick.
sleep:
	cli
	mov	KBD_HEAD, %ax
	cmp	KBD_TAIL, %ax
	jne	awake
	mov	KBD_FLAGS, %al
	shr	$4, %al
	xor	KBD_LEDS, %al
	test	$7, %al
	jnz	awake
	sti
	hlt
	jmp	next
awake:
	sti
	jmp	next

hang_told:
	mov	$'h', %al
	call	send
hang:
	cli
	hlt
	jmp	hang

# clear: blank screen, cursor in its top left corner.
clear:
	mov	$0x0600, %ax
	mov	$ATTRIBUTE << 8, %bx
	xor	%cx, %cx
	mov	$24 << 8 | 79, %dx
	int	$0x10
	mov	$0x02, %ah
	xor	%bh, %bh
	xor	%dx, %dx
	int	$0x10
	ret

# print: the character in al, at the cursor, which moves on.
print:
	mov	$0x0e, %ah
	mov	$ATTRIBUTE, %bx
	int	$0x10
	ret

# send: the byte in al, on COM1.
send:
	mov	$COM1, %dx
	out	%al, %dx
	ret

title:
	.asciz	"deskstorm guest desktop\r\nready\r\n"

	.org	510
	.word	0xaa55
