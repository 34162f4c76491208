package source

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// A line is a line of a file, without its end.
type line struct {
	number int
	text   string // of what eachLine yields, without blanks around it
	raw    string // with them
	long   bool   // it is cut
}

// A lineReader reads lines that end with LF, CRLF or CR alone.
type lineReader struct {
	in     *bufio.Reader
	number int
	buffer []byte
	held   []line // that were read ahead, in order
	bare   bool   // the file has CR alone
}

func newLineReader(in *bufio.Reader) *lineReader {
	l := &lineReader{in: in}
	start, _ := in.Peek(4096)
	l.bare = bytes.Contains(start, []byte("\r")) && !bytes.Contains(start, []byte("\n"))
	return l
}

// next returns the next line; io.EOF behind the last one.
func (l *lineReader) next() (line, error) {
	if len(l.held) > 0 {
		n := l.held[0]
		l.held = l.held[1:]
		return n, nil
	}
	return l.read()
}

// unread gives lines back, in the order in which they were read.
func (l *lineReader) unread(lines []line) { l.held = append(lines, l.held...) }

func (l *lineReader) read() (line, error) {
	end := byte('\n')
	if l.bare {
		end = '\r'
	}
	l.buffer = l.buffer[:0]
	long, some := false, false
	for {
		part, err := l.in.ReadSlice(end)
		some = some || len(part) > 0
		if room := maxLine - len(l.buffer); len(part) > room {
			part, long = part[:room], true
		}
		l.buffer = append(l.buffer, part...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && (!errors.Is(err, io.EOF) || !some) {
			return line{}, err
		}
		break
	}
	l.number++
	text := bytes.TrimRight(l.buffer, "\r\n")
	t := string(text)
	return line{l.number, t, t, long}, nil
}

// zeroWidth are characters without width that stand around values in documents.
const zeroWidth = "\u200b\u200c\u200d\u2060\ufeff"

// trim takes blanks of all kinds off both ends of a text, and characters without width.
func trim(s string) string {
	if s == "" || s[0] > ' ' && s[0] < utf8.RuneSelf && s[len(s)-1] > ' ' && s[len(s)-1] < utf8.RuneSelf {
		return s
	}
	return strings.Trim(s, " \t\r\n\v\f\u00a0\u3000\u2002\u2003\u2009\u202f"+zeroWidth)
}

// isEmptyMark reports whether a cell stands for no value.
func isEmptyMark(s string) bool {
	switch len(s) {
	case 0:
		return true
	case 1:
		return s == "-"
	case 2, 3, 4, 7:
		switch strings.ToLower(s) {
		case "none", "n/a", "null", "unknown", `""`, "nan":
			return true
		}
	}
	return false
}

// commentOf returns the comment that a whole line is.
func commentOf(text string, prefixes []string) (comment string, ok bool) {
	text = trim(text)
	for _, p := range prefixes {
		if rest, ok := strings.CutPrefix(text, p); ok {
			return rest, true
		}
	}
	return "", false
}

func newBufio(text string) *bufio.Reader { return bufio.NewReader(strings.NewReader(text)) }
