// Package wire is the SPICE protocol as bytes: the numbers, the messages that
// a thin client and a desktop exchange, and their strict decoding. Both sides,
// the client in package spice and the desktop in spice/screen, speak through
// it; it does no input or output.
//
// All integers are little endian and packed without padding. Numbers and
// layouts are those of spice-protocol (enums.h, protocol.h) and of the
// message description spice.proto in spice-common.
//
// Every Parse function takes the bytes of one message body and returns an
// *Error with the offset at which the body stopped making sense. None of them
// allocates more than a small multiple of the body's own length.
package wire
