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

// This file reads alerts in the forms in which people have them in files: one alert in as many lines as it likes, a
// JSON array of alerts, or one alert a line like alerts.json; each of these plain or gzipped.

const (
	readBuffer = 64 << 10
	// maxDocument is the longest alert or array over several lines, in bytes; what is longer is read as lines.
	maxDocument = 64 * enrich.MaxAlert
)

// A Position is a place in a file of alerts: a line or an item, or the file as a whole.
type Position struct {
	File string
	Line int // from 1; 0 for the whole
	Item int // of an array, from 0; -1 for none
}

// String returns file, file:line or file[item].
func (p Position) String() string {
	switch {
	case p.Item >= 0:
		return fmt.Sprintf("%s[%d]", p.File, p.Item)
	case p.Line > 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return p.File
}

// EachText calls do with the text of every alert in r, which is do's to keep; whether it is one, do finds out. What
// cannot be read is passed as an error at its place, and the rest goes on. An error of do ends it and is returned. name
// is what positions call the file.
func EachText(name string, r io.Reader, do func(at Position, text []byte, err error) error) error {
	whole := Position{File: name, Item: -1}
	in, err := unpack(r)
	if err != nil {
		return do(whole, nil, err)
	}
	l := lines{in: in}
	first, err := l.next()
	switch {
	case errors.Is(err, io.EOF):
		return do(whole, nil, errors.New("empty, not an alert"))
	case err != nil:
		return do(whole, nil, err)
	case !l.tooLong && !isJSON(first):
		return eachInLines(whole, l, first, do)
	case bytes.HasPrefix(bytes.TrimSpace(first), []byte("[")):
		return eachInDocument(whole, first, do)
	}
	return eachLine(name, l, first, do)
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

// eachInLines reads a text whose first line is not JSON: one alert or one array over several lines, or lines of which
// the first is broken.
func eachInLines(whole Position, l lines, first []byte, do func(Position, []byte, error) error) error {
	more, _ := io.ReadAll(io.LimitReader(l.in, maxDocument)) // reading on meets an error again
	text := append(append(bytes.Clone(first), '\n'), more...)
	switch {
	case isJSON(text):
		return eachInDocument(whole, text, do)
	case !bytes.Contains(bytes.TrimSpace(text), []byte("\n")) || opensDocument(first):
		return do(whole, text, nil)
	}
	rest := lines{in: bufio.NewReader(io.MultiReader(bytes.NewReader(more), l.in)), number: 1}
	return eachLine(whole.File, rest, first, do)
}

// eachLine passes on lines, the first of which has been read.
func eachLine(name string, l lines, line []byte, do func(Position, []byte, error) error) error {
	for {
		var fault error
		if l.tooLong {
			fault = fmt.Errorf("longer than an alert can be (%d bytes)", enrich.MaxAlert)
		}
		if fault != nil || len(bytes.TrimSpace(line)) > 0 {
			if err := do(Position{name, l.number, -1}, line, fault); err != nil {
				return err
			}
		}
		var err error
		line, err = l.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return do(Position{name, l.number + 1, -1}, nil, err)
		}
	}
}

// isJSON reports whether a text is JSON of a depth that is safe to check.
func isJSON(text []byte) bool { return !enrich.TooDeep(text) && gjson.ValidBytes(text) }

// opensDocument reports whether a line is the first of a JSON document in several lines.
func opensDocument(first []byte) bool {
	t := bytes.TrimSpace(first)
	return len(t) == 1 && (t[0] == '{' || t[0] == '[')
}

// eachInDocument passes on the one alert, or each of the array.
func eachInDocument(at Position, data []byte, do func(Position, []byte, error) error) error {
	doc := gjson.ParseBytes(data)
	if !doc.IsArray() {
		return do(at, data, nil)
	}
	for i, item := range doc.Array() {
		at.Item = i
		if err := do(at, []byte(item.Raw), nil); err != nil {
			return err
		}
	}
	return nil
}

// lines reads lines of bounded length.
type lines struct {
	in      *bufio.Reader
	number  int  // of the last line, from 1
	tooLong bool // the last line was, and is not returned whole
}

// next returns the next line without its end, in memory of its own; an error and no line at the end.
func (l *lines) next() ([]byte, error) {
	l.tooLong = false
	line := []byte(nil)
	for {
		part, err := l.in.ReadSlice('\n')
		if len(line) <= enrich.MaxAlert {
			line = append(line, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && len(line) == 0 {
			return nil, err
		}
		l.number++
		l.tooLong = len(line) > enrich.MaxAlert+2 // with its end
		return bytes.TrimRight(line, "\r\n"), nil
	}
}
