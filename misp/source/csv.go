package source

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A table reads the rows of a file with columns.
type table struct {
	p        *pass
	lines    *lineReader
	prefixes []string
	sep      byte
	blanks   bool // any number of blanks separates
	names    map[string]int
	used     []string // names that expressions read
	all      bool     // they may read any
	header   []string
	width    int      // of the first row
	quoted   bool     // the first row begins with a quote
	cut      bool     // the file ended in an open cell
	comments []string // the last ones before the rows
	cells    []string
	entry    entry
}

// readCSV reads format csv.
func (p *pass) readCSV(lines *lineReader) error {
	t := &table{p: p, lines: lines, prefixes: p.source.comments}
	if len(t.prefixes) == 0 {
		t.prefixes = hash
	}
	t.used, t.all = p.source.usesRow()
	switch {
	case p.source.separator != "":
		t.setSeparator(p.source.separator)
	default:
		t.setSeparator(t.sniff())
	}
	t.entry.cell = t.cell
	t.entry.fill = t.fill
	return p.eachLine(lines, t.prefixes, t.note, t.row)
}

func (t *table) setSeparator(s string) { t.sep, t.blanks = s[0], s == " " }

// note keeps the last comments before the rows: one of them may name the columns.
func (t *table) note(text string) {
	const kept = 50
	if t.names != nil || trim(text) == "" {
		return
	}
	if len(t.comments) == kept {
		t.comments = t.comments[1:]
	}
	t.comments = append(t.comments, text)
}

// commented returns the names that a comment before the rows has for the columns; nil for none.
func (t *table) commented(width int) []string {
	for i, comment := range slices.Backward(t.comments) {
		cells, _ := splitRow(nil, comment, t.sep)
		if t.blanks {
			cells = strings.Fields(comment)
		}
		last := i == len(t.comments)-1
		if len(cells) > 1 && (t.namesAll(cells) || last && len(cells) == width && looksLikeHeader(cells)) {
			return cells
		}
	}
	return nil
}

// sniff returns the separator that the first rows have.
func (t *table) sniff() string {
	var read []line
	var texts []string
	for len(read) < 200 && len(texts) < 20 {
		l, err := t.lines.next()
		if err != nil {
			break
		}
		read = append(read, l)
		if _, is := commentOf(l.text, t.prefixes); !is && trim(l.text) != "" {
			texts = append(texts, l.text)
		}
	}
	t.lines.unread(read)
	return separatorOf(texts)
}

// separators are those that are recognised, in the order in which they are tried.
var separators = []string{"\t", "|", ";", ","}

// separatorOf returns the separator by which most rows have the same number of cells, more than one; a comma if none
// does.
func separatorOf(rows []string) string {
	best, most := ",", 0
	for _, sep := range separators {
		widths := map[int]int{}
		for _, row := range rows {
			cells, _ := splitRow(nil, row, sep[0])
			widths[len(cells)]++
		}
		delete(widths, 1)
		for width, n := range widths {
			// Of two separators, that in more of the rows; a comma also where it makes more columns: texts have semicolons.
			if score := 100 * n / len(rows) * min(width, 4); score > most {
				best, most = sep, score
			}
		}
	}
	return best
}

func (t *table) split(text string) (cells []string, open int) {
	if t.blanks {
		return strings.Fields(text), -1
	}
	return splitRow(t.cells[:0], text, t.sep)
}

// row reads a row, which may go over several lines.
func (t *table) row(l line) error {
	cells, open := t.split(l.raw)
	if open >= 0 && t.width > 1 {
		if text, more, ok := t.rest(l, open); ok {
			cells = more
			l.text = text
		} else {
			cells, _ = t.split(l.raw)
		}
	}
	t.cells = cells
	if len(cells) > maxColumns {
		return t.p.skip(l.number, reasonTooWide, l.text)
	}
	if !slices.ContainsFunc(cells, func(c string) bool { return c != "" }) {
		return nil
	}
	if t.names == nil {
		t.quoted = strings.HasPrefix(l.text, `"`)
		if isHeader, err := t.begin(cells); isHeader || err != nil {
			return err
		}
	} else if t.header != nil && slices.Equal(cells, t.header) {
		return nil // files that were put together have it again
	}
	t.entry = entry{line: l.number, text: l.text, cell: t.entry.cell, fill: t.entry.fill, row: t.entry.row}
	return t.p.add(&t.entry)
}

// rest reads a row whose last cell begins with a quote that the line does not close. ok is false, and nothing is read, if
// the next lines do not close it so that the row has as many cells as the first one.
func (t *table) rest(first line, open int) (text string, cells []string, ok bool) {
	text = first.raw
	var read []line
	for from := len(text); len(read) < maxQuotedLines && len(text) < maxQuoted; {
		l, err := t.lines.next()
		if err != nil {
			t.cut = true
			break
		}
		read = append(read, l)
		if t.isRow(l.raw) {
			break
		}
		text += "\n" + l.raw
		_, _, state := quoted(text, open, from, t.sep)
		if from = len(text); state == quoteOpen {
			continue
		}
		if state == quoteText {
			break
		}
		if cells, open = splitRow(nil, text, t.sep); open >= 0 {
			continue // another cell
		}
		if len(cells) == t.width && utf8.ValidString(text) {
			return text, cells, true
		}
		break
	}
	t.lines.unread(read)
	return "", nil, false
}

// isRow reports whether a line is a row of its own: it has all columns, and a quote at its beginning if the first row has.
func (t *table) isRow(text string) bool {
	if t.quoted && !strings.HasPrefix(trim(text), `"`) {
		return false
	}
	cells, _ := splitRow(nil, text, t.sep)
	return len(cells) == t.width
}

// begin finds the names of the columns when the first row is read. isHeader is set if that row is the header.
func (t *table) begin(first []string) (isHeader bool, err error) {
	t.width = len(first)
	s := t.p.source
	names := s.columns
	switch {
	case s.header == headerTrue || s.header != headerFalse && t.isHeader(first):
		names, isHeader = slices.Clone(first), true
		t.header = names
	case s.header != headerFalse:
		if inComment := t.commented(len(first)); inComment != nil {
			names = inComment
		}
	}
	t.names = map[string]int{}
	for i := range max(len(names), len(first)) {
		t.names[columnName(i)] = i
	}
	for i, name := range slices.Backward(names) {
		t.names[name] = i
	}
	for _, name := range t.used {
		if _, ok := t.names[name]; ok {
			continue
		}
		if isColumnNumber(name) {
			t.names[name], _ = strconv.Atoi(name[1:])
			t.names[name]--
			continue
		}
		i := slices.IndexFunc(names, func(n string) bool { return wordKey(n) == wordKey(name) })
		if i < 0 {
			return false, t.absent(name, names)
		}
		t.names[name] = i
	}
	return isHeader, nil
}

// absent is the error of a file without a column that is declared.
func (t *table) absent(name string, names []string) error {
	if len(names) == 0 {
		return fmt.Errorf("there is no column %q, and the file does not name its columns; name them with csv.columns, or write c1 to c%d", name, t.width)
	}
	return fmt.Errorf("there is no column %q; there are: %s", name, short(strings.Join(names, ", ")))
}

// isHeader reports whether the first row names the columns: it has those that are used, or those that are declared, or
// no values.
func (t *table) isHeader(row []string) bool {
	s := t.p.source
	if t.namesAll(row) {
		return true
	}
	if len(s.columns) > 0 {
		same := 0
		for i, c := range row {
			if i < len(s.columns) && wordKey(c) == wordKey(s.columns[i]) {
				same++
			}
		}
		return same > len(row)/2
	}
	return looksLikeHeader(row)
}

// looksLikeHeader reports whether the cells of a row are names of columns and not values.
func looksLikeHeader(row []string) bool {
	letters := 0
	for _, c := range row {
		if isEmptyMark(c) {
			continue
		}
		if _, reason := (valuer{}).auto(c); reason == "" || len(c) > 64 || strings.Trim(c, "0123456789.-:/ ") == "" {
			return false
		}
		letters++
	}
	return letters > 1 && len(row) > 1
}

// namesAll reports whether names have all columns that expressions use, and some.
func (t *table) namesAll(names []string) bool {
	some := false
	for _, u := range t.used {
		if isColumnNumber(u) {
			continue
		}
		some = true
		if !slices.ContainsFunc(names, func(n string) bool { return wordKey(n) == wordKey(u) }) {
			return false
		}
	}
	return some
}

// isColumnNumber reports whether a name is c1, c2, ….
func isColumnNumber(name string) bool {
	return len(name) > 1 && len(name) < 6 && name[0] == 'c' && name[1] != '0' && strings.Trim(name[1:], "0123456789") == ""
}

// cell returns a cell of the row; false if the row is too short.
func (t *table) cell(name string) (string, bool) {
	i, ok := t.names[name]
	if !ok || i >= len(t.cells) {
		return "", false
	}
	return t.cells[i], true
}

// fill sets the columns that expressions read.
func (t *table) fill(row map[string]any) {
	if t.all {
		for name, i := range t.names {
			row[name] = at(t.cells, i)
		}
		return
	}
	for _, name := range t.used {
		row[name] = at(t.cells, t.names[name])
	}
}

// at returns a cell; empty for one that is absent, and for what stands for no value.
func at(cells []string, i int) string {
	if i >= len(cells) || isEmptyMark(cells[i]) {
		return ""
	}
	return cells[i]
}

// errNoRows is a file without a row.
var errNoRows = errors.New("the file is empty")

// isEOF reports whether an error is the end of a file.
func isEOF(err error) bool { return errors.Is(err, io.EOF) }
