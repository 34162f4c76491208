package source

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// Content is a file that can be read from its beginning several times: a file on disk, or [bytes.Reader].
type Content interface {
	io.ReaderAt
	Size() int64
}

// errTooLarge is a file beyond maxFile.
var errTooLarge = fmt.Errorf("more than %d bytes; split it", maxFile)

// open returns the text of a file: unpacked, in UTF-8, without a byte order mark. member names the file in an archive that
// has several.
func open(c Content, member string) (*bufio.Reader, error) {
	if c.Size() > maxFile {
		return nil, errTooLarge
	}
	r, err := unpack(c, member)
	if err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(&limited{r, maxFile}, 64<<10)
	mark, _ := in.Peek(4)
	switch {
	case bytes.HasPrefix(mark, []byte("\xef\xbb\xbf")):
		_, _ = in.Discard(3) // it was peeked
		return in, nil
	case bytes.HasPrefix(mark, []byte("\xff\xfe")), bytes.HasPrefix(mark, []byte("\xfe\xff")):
		decoder := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewDecoder()
		return bufio.NewReaderSize(transform.NewReader(in, decoder), 64<<10), nil
	}
	return in, nil
}

// A limited reader fails behind a number of bytes.
type limited struct {
	r    io.Reader
	left int64
}

// Read implements io.Reader.
func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errTooLarge
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}

// unpack returns what is in a file, by its first bytes: names and headers say little about content.
func unpack(c Content, member string) (io.Reader, error) {
	var head [4]byte
	n, err := c.ReadAt(head[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	whole := io.NewSectionReader(c, 0, c.Size())
	switch start := string(head[:n]); {
	case strings.HasPrefix(start, "\x1f\x8b"):
		r, err := gzip.NewReader(bufio.NewReader(whole))
		if err != nil {
			return nil, fmt.Errorf("a gzip file that is damaged: %w; fetch it again", err)
		}
		return r, nil
	case strings.HasPrefix(start, "BZh"):
		return bzip2.NewReader(bufio.NewReader(whole)), nil
	case start == "PK\x03\x04", start == "PK\x05\x06":
		return openZip(c, member)
	}
	return whole, nil
}

// openZip opens the one file of an archive, or the named one.
func openZip(c Content, member string) (io.Reader, error) {
	archive, err := zip.NewReader(c, c.Size())
	if err != nil {
		return nil, fmt.Errorf("the zip archive is damaged: %w; fetch it again", err)
	}
	var files []*zip.File
	for _, f := range archive.File {
		hidden := strings.HasPrefix(path.Base(f.Name), ".") || strings.HasPrefix(f.Name, "__MACOSX/")
		if !f.FileInfo().IsDir() && (!hidden || f.Name == member) {
			files = append(files, f)
		}
	}
	if member != "" {
		files = slices.DeleteFunc(files, func(f *zip.File) bool { return f.Name != member })
	}
	switch {
	case len(files) == 0 && member != "":
		return nil, fmt.Errorf("the zip archive has no file %q; see the key member", member)
	case len(files) == 0:
		return nil, errors.New("the zip archive is empty")
	case len(files) > 1:
		names := make([]string, 0, 5)
		for _, f := range files[:min(len(files), cap(names))] {
			names = append(names, short(f.Name))
		}
		return nil, fmt.Errorf("the zip archive has %d files, like %s; name one with the key member", len(files), strings.Join(names, ", "))
	case files[0].Flags&1 != 0:
		return nil, fmt.Errorf("%q in the zip archive is encrypted; unpack it, and declare a path", short(files[0].Name))
	}
	r, err := files[0].Open()
	if err != nil {
		return nil, fmt.Errorf("a zip archive that cannot be read: %w", err)
	}
	return r, nil
}

// short is a text as messages show it.
func short(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "�"))
	if len(s) > maxShown {
		return strings.ToValidUTF8(s[:maxShown], "") + "…"
	}
	return s
}
