package yamlfile

import (
	"cmp"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hbollon/go-edlib"
)

// A Fault is something wrong in a file, with its place.
type Fault struct {
	// Warning is set if the file can be used even so.
	Warning bool `json:"warning"`
	// File is the name of the source as it was given to the reader.
	File string `json:"file"`
	// Line and Column count from 1; columns count characters. 0 if the fault has no place.
	Line   int `json:"line"`
	Column int `json:"column"`
	// Message says what is wrong and names the value; lower case, no full stop.
	Message string `json:"message"`
	// Remedy says what to do; empty if the message makes that clear.
	Remedy string `json:"remedy,omitempty"`
	// Alerts is how many alerts the file was tried on to find this; 0 if it was found without.
	Alerts int `json:"alerts,omitempty"`
	// Text is the line of the file that the fault is in, empty if it has none.
	Text string `json:"-"`
}

// Error returns "file:line:col: message; remedy".
func (f Fault) Error() string {
	s := f.File
	if f.Line > 0 {
		s = fmt.Sprintf("%s:%d:%d", s, f.Line, f.Column)
	}
	s += ": "
	if f.Warning {
		s += "warning: "
	}
	return s + f.Sentence()
}

// Sentence returns "message; remedy".
func (f Fault) Sentence() string {
	if f.Remedy == "" {
		return f.Message
	}
	return f.Message + "; " + f.Remedy
}

// snippetWidth is how many characters of a line a snippet shows.
const snippetWidth = 160

// Snippet returns the line of the fault and a marker under its place, each indented by a bar, or "" if the fault has no
// line. Of a long line it shows the part around the place. What a terminal would not show as one character is replaced.
func (f Fault) Snippet() string {
	if f.Text == "" || f.Column < 1 {
		return ""
	}
	line := []rune(f.Text)
	at := min(f.Column-1, len(line))
	start := 0
	if len(line) > snippetWidth {
		start = min(max(0, at-snippetWidth/2), len(line)-snippetWidth)
	}
	end := min(len(line), start+snippetWidth)
	var text, pad strings.Builder
	if start > 0 {
		text.WriteString("…")
		pad.WriteByte(' ')
	}
	for i, r := range line[start:end] {
		blank := ' '
		if r == '\t' {
			blank = '\t'
		} else if !unicode.IsGraphic(r) {
			r = utf8.RuneError
		}
		text.WriteRune(r)
		if start+i < at {
			pad.WriteRune(blank)
		}
	}
	if end < len(line) {
		text.WriteString("…")
	}
	return fmt.Sprintf("  | %s\n  | %s^\n", text.String(), pad.String())
}

// Faults is an error of every fault found, in the order of the files and of the lines in them.
type Faults []Fault

// Error returns one fault a line.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.Error()
	}
	return strings.Join(lines, "\n")
}

// Nearest returns the word that is most like s, or "" if none is near: the one with the fewest letters changed, left
// out, added or swapped with the next.
func Nearest(s string, words []string) string {
	best, distance := "", (len(s)+2)/3+1
	s = strings.ToLower(s)
	length := utf8.RuneCountInString(s)
	for _, w := range words {
		if n := length - utf8.RuneCountInString(w); n > distance || n < -distance {
			continue // at least as many letters are left out or added
		}
		d := edlib.OSADamerauLevenshteinDistance(s, strings.ToLower(w))
		if d < distance || d == distance && best != "" && sharedPrefix(s, w) > sharedPrefix(s, best) {
			best, distance = w, d
		}
	}
	return best
}

// sharedPrefix returns how many bytes a, in lower case, and b have in common at the start.
func sharedPrefix(a, b string) int {
	b = strings.ToLower(b)
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// DidYouMean turns the nearest word into a remedy, or lists the words if none is near and they are few.
func DidYouMean(s string, words []string) string {
	if w := Nearest(s, words); w != "" {
		return fmt.Sprintf("did you mean %q?", w)
	}
	if len(words) <= 12 {
		return "use one of: " + strings.Join(words, ", ")
	}
	return ""
}

// OneOf is DidYouMean, but names all words where none is near, however many there are.
func OneOf(s string, words []string) string {
	return cmp.Or(DidYouMean(s, words), "use one of: "+strings.Join(words, ", "))
}
