package source

import "strings"

// splitRow splits a line into cells, as spreadsheets and abuse.ch write them: quotes are only round whole cells, "" is a
// quote in them, and so is \" before more of the cell. Blanks round a cell do not count. open is set if the last cell
// begins with a quote that is not closed in the line; it is split as if the quote was a part of the text.
func splitRow(to []string, text string, sep byte) (cells []string, open bool) {
	cells = to
	for i := 0; ; {
		start := i
		for i < len(text) && (text[i] == ' ' || text[i] == '\t') && text[i] != sep {
			i++
		}
		if i < len(text) && text[i] == '"' {
			cell, end, state := quoted(text, i, sep)
			switch state {
			case quoteClosed:
				if len(cells) <= maxColumns {
					cells = append(cells, cell)
				}
				if end >= len(text) {
					return cells, false
				}
				i = end + 1
				continue
			case quoteOpen:
				open = true
			case quoteText:
			}
		}
		end := strings.IndexByte(text[start:], sep)
		if end < 0 {
			return append(cells, trim(text[start:])), open
		}
		open = false
		if len(cells) <= maxColumns {
			cells = append(cells, trim(text[start:start+end]))
		}
		i = start + end + 1
	}
}

// A quoteState says what a quote at the beginning of a cell is.
type quoteState int

const (
	quoteText   quoteState = iota // a part of the text
	quoteClosed                   // round the cell
	quoteOpen                     // round a cell that does not end in this line
)

// quoted reads a cell that begins with a quote. end is where the separator behind it is, or the end of the text.
func quoted(text string, start int, sep byte) (cell string, end int, state quoteState) {
	escaped := false
	for i := start + 1; ; {
		n := strings.IndexByte(text[i:], '"')
		if n < 0 {
			return "", 0, quoteOpen
		}
		i += n
		after := i + 1
		for after < len(text) && (text[after] == ' ' || text[after] == '\t') && text[after] != sep {
			after++
		}
		ends := after >= len(text) || text[after] == sep || text[after] == '\n'
		switch {
		case i+1 < len(text) && text[i+1] == '"' && (ends || i == start+1 || text[i-1] != '\\'):
			escaped = true
			i += 2
			continue
		case ends:
		case i > start+1 && text[i-1] == '\\':
			escaped = true
			i++
			continue
		default:
			return "", 0, quoteText
		}
		cell = text[start+1 : i]
		if escaped {
			cell = strings.ReplaceAll(strings.ReplaceAll(cell, `""`, `"`), `\"`, `"`)
		}
		return trim(cell), after, quoteClosed
	}
}
