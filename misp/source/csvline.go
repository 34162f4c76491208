package source

import "strings"

// splitRow splits a line into cells, as spreadsheets and abuse.ch write them: quotes are only round whole cells, "" is a
// quote in them, and so is \" before more of the cell. Blanks round a cell do not count. open is where the first
// quote is that begins a cell and is not closed, -1 for none; the row is split as if it was a part of the text.
func splitRow(to []string, text string, sep byte) (cells []string, open int) {
	cells, open = to, -1
	add := func(cell string) {
		if len(cells) <= maxColumns {
			cells = append(cells, cell)
		}
	}
	for start := 0; ; {
		first, _ := endsCell(text, start, sep)
		state := quoteText
		if first < len(text) && text[first] == '"' {
			var cell string
			var end int
			if cell, end, state = quoted(text, first, first+1, sep); state == quoteClosed {
				add(cell)
				if end >= len(text) {
					return cells, open
				}
				start = end + 1
				continue
			}
		}
		if state == quoteOpen && open < 0 {
			open = first
		}
		end := strings.IndexByte(text[start:], sep)
		if end < 0 {
			add(trim(text[start:]))
			return cells, open
		}
		add(trim(text[start : start+end]))
		start += end + 1
	}
}

// A quoteState says what a quote at the beginning of a cell is.
type quoteState int

const (
	quoteText   quoteState = iota // a part of the text
	quoteClosed                   // round the cell
	quoteOpen                     // round a cell that does not end in this line
)

// quoted reads a cell that begins with a quote, and is read as far as a place. end is where the separator behind it is, or the end of the text.
func quoted(text string, start, from int, sep byte) (cell string, end int, state quoteState) {
	for i := from; ; {
		n := strings.IndexByte(text[i:], '"')
		if n < 0 {
			return "", 0, quoteOpen
		}
		i += n
		end, ends := endsCell(text, i+1, sep)
		doubled := i+1 < len(text) && text[i+1] == '"'
		slashed := i > start+1 && text[i-1] == '\\'
		if doubled && slashed { // \"" is an escaped quote and the end, or a backslash and a doubled quote
			_, ends := endsCell(text, i+2, sep)
			doubled = !ends
		}
		switch {
		case doubled:
			i += 2
			continue
		case ends:
		case slashed:
			i++
			continue
		default:
			return "", 0, quoteText
		}
		cell = text[start+1 : i]
		if strings.Contains(cell, `"`) {
			cell = strings.ReplaceAll(strings.ReplaceAll(cell, `""`, `"`), `\"`, `"`)
		}
		return trim(cell), end, quoteClosed
	}
}

// endsCell reports whether nothing but blanks is between a place and the end of the cell, and where that is.
func endsCell(text string, i int, sep byte) (end int, ends bool) {
	for i < len(text) && (text[i] == ' ' || text[i] == '\t') && text[i] != sep {
		i++
	}
	return i, i >= len(text) || text[i] == sep || text[i] == '\n'
}
