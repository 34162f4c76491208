package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/tidwall/gjson"

	"custom-misp/engine/enrich"
)

// A position is a place in the input: a line or an item of a file, or the file as a whole.
type position struct {
	file string
	line int // from 1; 0 for the whole
	item int // of an array, from 0; -1 for none
}

// String returns file, file:line or file[item].
func (p position) String() string {
	switch {
	case p.item >= 0:
		return fmt.Sprintf("%s[%d]", p.file, p.item)
	case p.line > 0:
		return fmt.Sprintf("%s:%d", p.file, p.line)
	}
	return p.file
}

// eachAlert calls do with every alert of a file; see eachText. What is no alert is handed over as an error at its
// place, and the rest goes on; an error of do ends it.
func eachAlert(name string, stdin io.Reader, do func(where string, a enrich.Alert, err error) error) error {
	return eachText(name, stdin, nil, func(at position, text []byte, err error) error {
		var a enrich.Alert
		if err == nil {
			a, err = enrich.ParseAlert(text)
		}
		return do(at.String(), a, err)
	})
}

// eachText calls do with the text of every alert of a file, or of standard input for "-": one alert, written in as
// many lines as it likes, a JSON array of alerts, or one alert a line; each of these plain or gzipped. The text is
// do's to keep. watch, if not nil, is put between the file and its reader.
func eachText(name string, stdin io.Reader, watch func(io.Reader) io.Reader, do func(at position, text []byte, err error) error) error {
	r := stdin
	if name == "-" {
		name = "standard input"
	} else {
		f, err := os.Open(name)
		if err != nil {
			return do(position{file: name, item: -1}, nil, unwrapPath(err))
		}
		defer f.Close() //nolint:errcheck // only read
		r = f
	}
	whole := position{file: name, item: -1}
	if watch != nil {
		r = watch(r)
	}
	in := bufio.NewReaderSize(r, 64<<10)
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return do(whole, nil, fmt.Errorf("gzip: %w", err))
		}
		in = bufio.NewReaderSize(z, 64<<10)
	}
	if mark, _ := in.Peek(3); bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		_, _ = in.Discard(len(mark)) // it was peeked
	}
	l := lines{in: in}
	first, err := l.next()
	if err != nil && first == nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("empty, not an alert")
		}
		return do(whole, nil, err)
	}
	if !l.tooLong && !valid(first) {
		// Perhaps one alert, or one array, over several lines.
		text, more := l.rest(first)
		if valid(text) {
			return eachInDocument(whole, text, do)
		}
		if !bytes.Contains(bytes.TrimSpace(text), []byte("\n")) || looksPretty(first) {
			return do(whole, text, nil)
		}
		l = lines{in: bufio.NewReader(io.MultiReader(bytes.NewReader(text[min(len(first)+1, len(text)):]), more)), number: 1}
	} else if bytes.HasPrefix(bytes.TrimSpace(first), []byte("[")) {
		return eachInDocument(whole, first, do)
	}
	for line := first; ; {
		if len(bytes.TrimSpace(line)) > 0 || l.tooLong {
			var err error
			if l.tooLong {
				err = fmt.Errorf("longer than an alert can be (%d bytes)", enrich.MaxAlert)
			}
			if err := do(position{name, l.number, -1}, line, err); err != nil {
				return err
			}
		}
		line, err = l.next()
		if line == nil && err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return do(position{name, l.number + 1, -1}, nil, err)
		}
	}
}

// valid reports whether a text is JSON of a depth that is safe to check.
func valid(text []byte) bool { return !enrich.TooDeep(text) && gjson.ValidBytes(text) }

// looksPretty reports whether a line is the first of a JSON document in several lines.
func looksPretty(first []byte) bool {
	t := bytes.TrimSpace(first)
	return len(t) == 1 && (t[0] == '{' || t[0] == '[')
}

// eachInDocument hands over the one alert, or each of the array.
func eachInDocument(at position, data []byte, do func(position, []byte, error) error) error {
	doc := gjson.ParseBytes(data)
	if !doc.IsArray() {
		return do(at, data, nil)
	}
	for i, item := range doc.Array() {
		at.item = i
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

// next returns the next line without its end, in memory of its own; nil and an error at the end.
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

// rest returns first and what follows it, up to the length of one alert, and a reader of what is still left.
func (l *lines) rest(first []byte) ([]byte, io.Reader) {
	more, _ := io.ReadAll(io.LimitReader(l.in, 64*enrich.MaxAlert))
	return append(append(bytes.Clone(first), '\n'), more...), l.in
}

// unwrapPath leaves the path out of an error that is reported behind the path anyway.
func unwrapPath(err error) error {
	if p, ok := errors.AsType[*os.PathError](err); ok {
		return p.Err
	}
	return err
}
