package source

import "strings"

// splitRow splits a line into cells, as spreadsheets and abuse.ch write them: quotes are only round whole cells, "" is a
// quote in them, and so is \" before more of the cell. Blanks round a cell do not count. open is where the first
// quote is that begins a cell and is not closed, -1 for none; the row is split as if it was a part of the text.
func splitRow(to []string, text string, sep byte) (cells []string, open int) {
	cells, open = to, -1
	for i := 0; ; {
		start := i
		for i < len(text) && (text[i] == ' ' || text[i] == '\t') && text[i] != sep {
			i++
		}
		if i < len(text) && text[i] == '"' {
			cell, end, state := quoted(text, i, i+1, sep)
			switch state {
			case quoteClosed:
				if len(cells) <= maxColumns {
					cells = append(cells, cell)
				}
				if end >= len(text) {
					return cells, open
				}
				i = end + 1
				continue
			case quoteOpen:
				if open < 0 {
					open = i
				}
			case quoteText:
			}
		}
		end := strings.IndexByte(text[start:], sep)
		if end < 0 {
			return append(cells, trim(text[start:])), open
		}
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
