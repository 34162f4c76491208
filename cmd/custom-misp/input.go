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

// eachAlert calls do with every alert of a file, or of standard input for "-": one alert, written in as many
// lines as it likes, a JSON array of alerts, or one alert a line; each of these plain or gzipped. where names
// the place. What cannot be read as an alert is handed over as an error at its place, and the rest goes on;
// an error of do ends it.
func eachAlert(name string, stdin io.Reader, do func(where string, a enrich.Alert, err error) error) error {
	r := stdin
	if name == "-" {
		name = "standard input"
	} else {
		f, err := os.Open(name)
		if err != nil {
			return do(name, enrich.Alert{}, unwrapPath(err))
		}
		defer f.Close() //nolint:errcheck // only read
		r = f
	}
	in := bufio.NewReaderSize(r, 64<<10)
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return do(name, enrich.Alert{}, fmt.Errorf("gzip: %w", err))
		}
		in = bufio.NewReaderSize(z, 64<<10)
	}
	l := lines{in: in}
	first, err := l.next()
	if err != nil && first == nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("empty, not an alert")
		}
		return do(name, enrich.Alert{}, err)
	}
	if !gjson.ValidBytes(first) && !l.tooLong {
		// Perhaps one alert, or one array, over several lines.
		whole, more := l.rest(first)
		if gjson.ValidBytes(whole) {
			return eachInDocument(name, whole, do)
		}
		if !bytes.Contains(bytes.TrimSpace(whole), []byte("\n")) || looksPretty(first) {
			a, err := enrich.ParseAlert(whole)
			return do(name, a, err)
		}
		l = lines{in: bufio.NewReader(io.MultiReader(bytes.NewReader(whole[min(len(first)+1, len(whole)):]), more)), number: 1}
	} else if bytes.HasPrefix(bytes.TrimSpace(first), []byte("[")) {
		return eachInDocument(name, first, do)
	}
	for line := first; ; {
		if len(bytes.TrimSpace(line)) > 0 || l.tooLong {
			where := fmt.Sprintf("%s:%d", name, l.number)
			a, err := enrich.ParseAlert(line)
			if l.tooLong {
				err = fmt.Errorf("longer than an alert can be (%d bytes)", enrich.MaxAlert)
			}
			if err := do(where, a, err); err != nil {
				return err
			}
		}
		line, err = l.next()
		if line == nil && err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return do(fmt.Sprintf("%s:%d", name, l.number+1), enrich.Alert{}, err)
		}
	}
}

// looksPretty reports whether a line is the first of a JSON document in several lines.
func looksPretty(first []byte) bool {
	t := bytes.TrimSpace(first)
	return len(t) == 1 && (t[0] == '{' || t[0] == '[')
}

// eachInDocument hands over the one alert, or each of the array.
func eachInDocument(name string, data []byte, do func(string, enrich.Alert, error) error) error {
	doc := gjson.ParseBytes(data)
	if !doc.IsArray() {
		a, err := enrich.ParseAlert(data)
		return do(name, a, err)
	}
	for i, item := range doc.Array() {
		a, err := enrich.ParseAlert([]byte(item.Raw))
		if err := do(fmt.Sprintf("%s[%d]", name, i), a, err); err != nil {
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
		l.tooLong = len(line) > enrich.MaxAlert+1
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
