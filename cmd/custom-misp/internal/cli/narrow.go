package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Width is how wide a [NarrowTable] and a text of [Wrap] are at most, in characters: every terminal has so many.
const Width = 80

// A NarrowTable is a table that is at most [Width] wide. Texts that have no room are shortened in the middle, so that both ends
// of a path can be read, but for the last column, which goes on below. Every cell passes [Clean].
type NarrowTable struct {
	w       io.Writer
	headers []string
	rows    [][]string
}

// NewNarrowTable begins a table, with a line of headers.
func NewNarrowTable(w io.Writer, headers ...string) *NarrowTable {
	return &NarrowTable{w: w, headers: headers}
}

// Row adds a line. One with a single cell may be as wide as the table.
func (t *NarrowTable) Row(cells ...any) {
	texts := make([]string, len(cells))
	for i, c := range cells {
		texts[i] = strings.TrimRight(Clean(fmt.Sprint(c)), " ")
	}
	t.rows = append(t.rows, texts)
}

// Least widths of columns that are shortened. The last is as wide as its longest word, within bounds.
const (
	leastColumn = 10
	leastLast   = 24
	mostLast    = 36
	columnGap   = 2
)

// Flush writes the table.
func (t *NarrowTable) Flush() error {
	widths := t.widths()
	var b strings.Builder
	for _, row := range slices.Concat([][]string{t.headers}, t.rows) {
		if len(row) == 1 && len(t.headers) > 1 {
			b.WriteString(Shorten(row[0], Width) + "\n")
			continue
		}
		writeRow(&b, row, widths)
	}
	_, err := io.WriteString(t.w, b.String())
	return err
}

func writeRow(b *strings.Builder, row []string, widths []int) {
	last := len(row) - 1
	line, column := "", 0
	for i, cell := range row[:last] {
		line += fmt.Sprintf("%-*s", widths[i]+columnGap, Shorten(cell, widths[i]))
		column += widths[i] + columnGap
	}
	lines := wrapped(row[last], widths[last])
	if len(lines) == 0 {
		lines = []string{""}
	}
	for i, part := range lines {
		if i > 0 {
			line = strings.Repeat(" ", column)
		}
		b.WriteString(strings.TrimRight(line+part, " ") + "\n")
	}
}

// widths returns how wide the columns are: as wide as their texts, but for those that have to be shortened.
func (t *NarrowTable) widths() []int {
	widths, least := make([]int, len(t.headers)), leastLast
	for _, row := range slices.Concat([][]string{t.headers}, t.rows) {
		if len(row) == 1 {
			continue
		}
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
		for word := range strings.FieldsSeq(row[len(row)-1]) {
			least = max(least, min(mostLast, utf8.RuneCountInString(word)))
		}
	}
	over := columnGap*(len(widths)-1) - Width
	for _, n := range widths {
		over += n
	}
	last := len(widths) - 1
	if give := min(over, widths[last]-least); give > 0 {
		widths[last] -= give
		over -= give
	}
	for ; over > 0; over-- {
		widest := 0
		for i := range widths[:last] {
			if widths[i] > widths[widest] {
				widest = i
			}
		}
		if widths[widest] <= leastColumn {
			break
		}
		widths[widest]--
	}
	return widths
}

// Shorten returns a text of at most so many characters: a longer one without its middle.
func Shorten(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	const mark = "…"
	if most <= 1 {
		return mark[:len(mark)*max(0, most)]
	}
	runes := []rune(s)
	front := most / 2
	return string(runes[:front]) + mark + string(runes[len(runes)-(most-front-1):])
}

// Wrap returns a text as lines of at most [Width] characters, each with a line end; those behind the first begin with two
// blanks. It passes [Clean].
func Wrap(s string) string {
	lines := wrapped(Clean(s), Width-columnGap)
	return strings.Join(lines, "\n  ") + "\n"
}

// wrapped breaks a text at blanks into lines of at most so many characters. A word that is longer is shortened. Blanks at the
// begin stay.
func wrapped(s string, most int) []string {
	var lines []string
	text := strings.TrimLeft(s, " ")
	line := s[:len(s)-len(text)]
	begun := false
	for word := range strings.FieldsSeq(text) {
		word = Shorten(word, most)
		if begun && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > most {
			lines, line, begun = append(lines, line), "", false
		}
		if begun {
			line += " "
		}
		line, begun = line+word, true
	}
	if begun {
		lines = append(lines, line)
	}
	return lines
}
