package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"golang.org/x/term"

	"custom-misp/engine/yamlfile"
)

// Clean makes a text fit for one line of a terminal: white space other than blanks becomes one blank, and what cannot
// be printed, such as control and bidirectional characters, a question mark.
func Clean(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	blank := false
	for _, r := range s {
		switch {
		case r != ' ' && unicode.IsSpace(r):
			if !blank {
				b.WriteByte(' ')
			}
			blank = true
			continue
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteByte('?')
		}
		blank = r == ' '
	}
	return b.String()
}

// Plural returns "1 entry" or "3 entries".
func Plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	if stem, ok := strings.CutSuffix(what, "try"); ok { // entry
		return fmt.Sprintf("%d %stries", n, stem)
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// WriteJSON writes v, indented.
func WriteJSON(w io.Writer, v any) error { return writeJSON(w, v, "  ") }

// WriteJSONLine writes v on one line.
func WriteJSONLine(w io.Writer, v any) error { return writeJSON(w, v, "") }

func writeJSON(w io.Writer, v any, indent string) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(EscapeJSON(buf.Bytes()))
	return err
}

// EscapeJSON escapes what encoding/json leaves in strings as it is and a terminal acts on: DEL, C1 and bidirectional
// controls. The text stays the same JSON.
func EscapeJSON(data []byte) []byte {
	if !bytes.ContainsFunc(data, actsOnTerminal) {
		return data
	}
	var b bytes.Buffer
	for _, r := range string(data) {
		if actsOnTerminal(r) {
			fmt.Fprintf(&b, "\\u%04x", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.Bytes()
}

func actsOnTerminal(r rune) bool {
	return r >= 0x7f && r < 0xa0 || r == 0x061c || r >= 0x200e && r <= 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// PrintFaults writes each fault with its line and a marker under the place, and returns how many there are.
func PrintFaults(w io.Writer, err error) int {
	faults, ok := errors.AsType[yamlfile.Faults](err)
	if !ok {
		for _, line := range Lines(err) {
			fmt.Fprintln(w, line)
		}
		return 1
	}
	for _, f := range faults {
		fmt.Fprintln(w, Clean(f.Error()))
		fmt.Fprint(w, strings.Map(printable, f.Snippet()))
	}
	return len(faults)
}

// PrintError writes what is wrong with one of several things, and which: "where: err", a line for each line of err.
func PrintError(w io.Writer, where string, err error) {
	for line := range strings.Lines(where + ": " + err.Error()) {
		fmt.Fprintln(w, Clean(strings.TrimSuffix(line, "\n")))
	}
}

// printable keeps the columns of a snippet, so that the marker stays under its place.
func printable(r rune) rune {
	if r == '\t' || r == '\n' || unicode.IsPrint(r) {
		return r
	}
	return '?'
}

// IsTerminal reports whether w is one.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) //nolint:gosec // a descriptor fits
}
