package wazuh

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/tidwall/gjson"

	"custom-misp/engine/enrich"
)

// This file reads alerts in the forms in which people keep them in files: one alert in several lines, a JSON array of
// alerts, the answer of a search, one of these a line like alerts.json, or a table (alerttable.go); each plain or compressed with gzip.

const (
	readBuffer = 64 << 10
	// maxDocument is the longest array, or alert in several lines, in bytes. A longer text is read as lines.
	maxDocument = 64 * enrich.MaxAlert
	// maxLine is the longest line that is read to its end, in bytes. What has no line for so long is no file of alerts, and perhaps has
	// no end.
	maxLine = 1 << 30
)

var (
	// ErrEmpty is the reason if there is nothing to read.
	ErrEmpty = errors.New("empty, not an alert")
	// ErrLongLine is the reason if a line is longer than an alert can be. The next one is read.
	ErrLongLine = fmt.Errorf("longer than an alert can be (%d bytes)", enrich.MaxAlert)
	errNoLine   = fmt.Errorf("no line ends within %d bytes, not a file of alerts", maxLine)
)

// A Position is a place in a file of alerts: a line, an item of an array, or the file as a whole.
type Position struct {
	File string
	Line int // from 1; 0 for the whole, and for an array that begins on the first line
	Item int // of an array, from 0; -1 for none
}

// String returns file, file:line, file[item] or file:line[item].
func (p Position) String() string {
	s := p.File
	if p.Line > 0 {
		s += fmt.Sprintf(":%d", p.Line)
	}
	if p.Item >= 0 {
		s += fmt.Sprintf("[%d]", p.Item)
	}
	return s
}

// EachText calls do with the text of every alert in r. The text belongs to do; whether it is an alert, do finds out. What
// cannot be read is passed as an error at its place, without a text, and reading continues behind it. An error of do ends
// the reading and is returned. name is how positions call the file.
//
// A line may have up to [enrich.MaxAlert] bytes, an array or an alert in several lines up to 64 MiB. That much is in
// memory.
func EachText(name string, r io.Reader, do func(at Position, text []byte, err error) error) error {
	whole := Position{File: name, Item: -1}
	in, err := unpack(r)
	if err != nil {
		return do(whole, nil, err)
	}
	l := lines{name: name, in: in, do: do}
	first, err := l.read(maxDocument)
	complete := err == nil && isJSON(first)
	switch {
	case errors.Is(err, io.EOF):
		return do(whole, nil, ErrEmpty)
	case err != nil:
		return do(whole, nil, err)
	case complete && listOf(first) != nil:
		err = eachItem(whole, listOf(first), do)
	case complete || len(first) > maxDocument:
		err = l.pass(first)
	default:
		if paths, separator := tableOf(first); paths != nil {
			return l.passTable(paths, separator)
		}
		return l.readOn(first)
	}
	if err != nil {
		return err
	}
	return l.passAll()
}

// unpack returns the text of r: without gzip and without a byte order mark.
func unpack(r io.Reader) (*bufio.Reader, error) {
	in := bufio.NewReaderSize(r, readBuffer)
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		in = bufio.NewReaderSize(z, readBuffer)
	}
	if mark, _ := in.Peek(3); bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		_, _ = in.Discard(len(mark)) // it was peeked
	}
	return in, nil
}

// isJSON reports whether a text is JSON of a depth that is safe to check.
func isJSON(text []byte) bool { return !enrich.TooDeep(text) && gjson.ValidBytes(text) }

// isArray reports whether JSON is an array.
func isArray(text []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(text), []byte("[")) }

// opensDocument reports whether a line is the first of a JSON document in several lines.
func opensDocument(first []byte) bool {
	t := bytes.TrimSpace(first)
	return len(t) == 1 && (t[0] == '{' || t[0] == '[')
}

// answers are the paths of the alerts in the answer of a search, as the indexer and the dashboard give it.
var answers = []string{"hits.hits", "rawResponse.hits.hits", "body.hits.hits"}

// mayBeList reports whether a text may be a list of alerts, without reading it.
func mayBeList(text []byte) bool { return isArray(text) || bytes.Contains(text, []byte(`"hits"`)) }

// listOf returns the JSON array of the alerts that a text holds: the text, or what a search has found; nil for another text.
func listOf(text []byte) []byte {
	if isArray(text) {
		return text
	}
	if !bytes.Contains(text, []byte(`"hits"`)) {
		return nil
	}
	for _, path := range answers {
		if v := gjson.GetBytes(text, path); v.IsArray() {
			return []byte(v.Raw)
		}
	}
	return nil
}

// eachItem passes on the items of an array.
func eachItem(at Position, array []byte, do func(Position, []byte, error) error) (err error) {
	at.Item = 0
	gjson.ParseBytes(array).ForEach(func(_, item gjson.Result) bool {
		err = do(at, []byte(item.Raw), nil)
		at.Item++
		return err == nil
	})
	return err
}

// lines reads lines of bounded length and passes them on.
type lines struct {
	name   string
	in     *bufio.Reader
	do     func(Position, []byte, error) error
	number int // of the last line, from 1
}

// read returns the next line without its end, in memory of its own. A line that is longer than most is cut somewhere behind
// that length. The error comes without a line; io.EOF is the end.
func (l *lines) read(most int) ([]byte, error) {
	var line []byte
	for length := 0; ; {
		part, err := l.in.ReadSlice('\n')
		if length += len(part); length > maxLine {
			return nil, errNoLine
		}
		if len(line) <= most {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(line) > 0:
		case err != nil:
			return nil, err
		}
		l.number++
		return bytes.TrimRight(line, "\r\n"), nil
	}
}

// pass passes on a line, the last one that was read: as its items if it is an array, and not at all if it is blank.
func (l *lines) pass(line []byte) error {
	at := Position{l.name, l.number, -1}
	switch {
	case len(line) > enrich.MaxAlert:
		return l.do(at, nil, ErrLongLine)
	case len(bytes.TrimSpace(line)) == 0:
		return nil
	case mayBeList(line) && isJSON(line) && listOf(line) != nil:
		return eachItem(at, listOf(line), l.do)
	}
	return l.do(at, line, nil)
}

// passAll passes on all further lines.
func (l *lines) passAll() error {
	for {
		line, err := l.read(enrich.MaxAlert)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return l.do(Position{l.name, l.number + 1, -1}, nil, err)
		}
		if err := l.pass(line); err != nil {
			return err
		}
	}
}

// readOn goes on behind a first line that is not JSON: it begins an alert or an array in several lines, or is broken.
func (l *lines) readOn(first []byte) error {
	whole := Position{File: l.name, Item: -1}
	more, fault := io.ReadAll(io.LimitReader(l.in, maxDocument))
	text := append(append(bytes.Clone(first), '\n'), more...)
	switch {
	case isJSON(text):
		if err := l.passDocument(whole, text); err != nil || fault == nil {
			return err
		}
		return l.do(whole, nil, fault)
	case len(first) <= enrich.MaxAlert && (len(bytes.TrimSpace(more)) == 0 || opensDocument(first)):
		if fault != nil {
			return l.do(whole, nil, fault)
		}
		return l.do(whole, text, nil)
	}
	if err := l.pass(first); err != nil {
		return err
	}
	l.in = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(more), l.in), readBuffer) // which fails again
	return l.passAll()
}

// passDocument passes on a text in several lines: an alert, or an array as its items.
func (l *lines) passDocument(at Position, text []byte) error {
	if list := listOf(text); list != nil {
		return eachItem(at, list, l.do)
	}
	return l.do(at, text, nil)
}
