package spice

import "sync/atomic"

// Stats are a session's counts since it was opened.
type Stats struct {
	// BytesReceived and BytesSent count the SPICE streams after their link
	// phase, inside TLS.
	BytesReceived, BytesSent int64
	// Messages counts what came on all channels.
	Messages int64
	// Drawings counts the drawing commands and DrawnPixels the pixels of
	// their boxes.
	Drawings, DrawnPixels int64
	// VideoFrames counts frames of video streams, which are not decoded.
	VideoFrames int64
	// CursorChanges counts what came on the cursor channel.
	CursorChanges int64
	// Keys counts the keys pressed, those of probes included.
	Keys int64
	// Notices counts the server's NOTIFY messages.
	Notices int64
}

type counters struct {
	received, sent, messages, drawings, pixels, frames, cursor, keys, notices atomic.Int64
}

// Stats may be called at any time, also after the session's end.
func (s *Session) Stats() Stats {
	c := &s.counts
	return Stats{
		BytesReceived: c.received.Load(), BytesSent: c.sent.Load(), Messages: c.messages.Load(),
		Drawings: c.drawings.Load(), DrawnPixels: c.pixels.Load(), VideoFrames: c.frames.Load(),
		CursorChanges: c.cursor.Load(), Keys: c.keys.Load(), Notices: c.notices.Load(),
	}
}
