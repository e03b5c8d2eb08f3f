package activeusers

import (
	"io/fs"
	"os"
	"time"
)

// file is one that is read again when it changes. What it last held is kept while it is broken.
type file struct {
	path   string
	read   func() error // keeps what it read, unless it fails
	stamp  stamp        // of what was read last, well or not
	seen   stamp        // at the last look
	begun  bool
	err    error     // of the last reading
	loaded time.Time // when it was last read well
}

// stamp tells one version of a file from another.
type stamp struct {
	there    bool
	size     int64
	modified time.Time
	info     fs.FileInfo
}

func (s stamp) same(other stamp) bool {
	if !s.there || !other.there {
		return s.there == other.there
	}
	return s.size == other.size && s.modified.Equal(other.modified) && os.SameFile(s.info, other.info)
}

func look(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{there: true, size: info.Size(), modified: info.ModTime(), info: info}
}

// refresh reads the file if it changed and then stood still from one look to the next: it might be half written. It says whether
// it read it.
func (f *file) refresh(now time.Time) bool {
	at := look(f.path)
	still := at.same(f.seen)
	f.seen = at
	if f.begun && (!still || at.same(f.stamp)) {
		return false
	}
	f.begun, f.stamp = true, at
	if f.err = f.read(); f.err == nil {
		f.loaded = now
	}
	return true
}
