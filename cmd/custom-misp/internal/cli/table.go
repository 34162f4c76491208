package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// A Table is written in columns. Every cell passes [Clean].
type Table struct{ w *tabwriter.Writer }

// NewTable begins a table, with a line of headers if there are any.
func NewTable(w io.Writer, headers ...string) *Table {
	t := &Table{tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)}
	if len(headers) > 0 {
		fmt.Fprintln(t.w, strings.Join(headers, "\t"))
	}
	return t
}

// Row adds a line.
func (t *Table) Row(cells ...any) {
	texts := make([]string, len(cells))
	for i, c := range cells {
		texts[i] = Clean(fmt.Sprint(c))
	}
	fmt.Fprintln(t.w, strings.Join(texts, "\t"))
}

// Flush writes the table.
func (t *Table) Flush() error { return t.w.Flush() }
