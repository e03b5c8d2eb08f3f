package screen

// text is the guest's screen: where the caret stands and what is left of it in
// its row. What other rows show is remembered by clients only.
type text struct {
	columns, rows int
	row           int
	line          []byte // always shorter than columns; the caret stands behind it
}

// put writes a character at the caret. If that was the row's last cell, the
// caret must go to a new row, see newline.
func (t *text) put(char byte) (full bool) {
	t.line = append(t.line, char)
	return len(t.line) == t.columns
}

// newline starts the next row. After the last one that is the first, and the
// screen must be cleared.
func (t *text) newline() (cleared bool) {
	t.line = t.line[:0]
	t.row++
	if t.row == t.rows {
		t.row = 0
		return true
	}
	return false
}
