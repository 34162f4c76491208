package alertlog

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/tidwall/gjson"
)

// chunk is how much is read at once, in bytes.
const chunk = 256 << 10

// errTruncated says that a file does not begin any more as it did, or ends before the place up to which it was read.
var errTruncated = errors.New("truncated")

// A source is a file of alerts that is open, plain or compressed, and read from front to back.
type source struct {
	name   string
	date   string // as in [Checkpoint.File]
	file   *os.File
	info   fs.FileInfo // as it was when the file was opened
	inode  uint64      // 0 for a compressed file
	prefix []byte      // its first bytes, at most maxPrefix, that are known
	sum    string      // SHA-256 of the first summed bytes of prefix
	summed int
	pos    int64 // behind what was read, in uncompressed bytes
	opened time.Time

	mtime time.Time // of a plain file: when its prefix was last seen unchanged
	check []byte    // of a plain file: room for its prefix

	gz   io.Reader // nil for a plain file
	skip int64     // of a compressed file: bytes that are still to be passed over
}

// openSource opens a file at a place. A compressed file that is broken at its very start opens too; reading it
// fails. The error is a fs.PathError without a remedy.
func openSource(name string, at int64) (*source, error) {
	if info, err := os.Stat(name); err != nil { // before opening it: the open of a pipe waits
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fmt.Errorf("not a file but %s", kind(info.Mode()))}
	}
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	s := &source{name: name, file: f, pos: at, opened: time.Now()}
	if err := s.start(); err != nil {
		_ = f.Close()
		return nil, err
	}
	return s, nil
}

func (s *source) start() error {
	var err error
	if s.info, err = s.file.Stat(); err != nil {
		return err
	}
	if !strings.HasSuffix(s.name, ".gz") {
		s.inode, s.mtime, s.check = inodeOf(s.info), s.info.ModTime(), make([]byte, maxPrefix)
		n, err := s.file.ReadAt(s.check, 0)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		s.prefix = bytes.Clone(s.check[:n])
		return nil
	}
	unpacked, err := gzip.NewReader(s.file)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // it is to have a header
		}
		s.gz, s.skip = failing{err}, s.pos
		return nil
	}
	prefix := make([]byte, maxPrefix)
	n := 0
	for n < maxPrefix && err == nil {
		var m int
		m, err = unpacked.Read(prefix[n:])
		n += m
	}
	s.prefix = prefix[:n] // reading on meets the error again
	s.gz, s.skip = io.MultiReader(bytes.NewReader(s.prefix), unpacked), s.pos
	return nil
}

// failing is a reader that fails.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func kind(m fs.FileMode) string {
	if m.IsDir() {
		return "a directory"
	}
	return "a pipe, socket or device"
}

func (s *source) packed() bool { return s.gz != nil }

func (s *source) close() error { return s.file.Close() }

// size returns the size of a plain file, now.
func (s *source) size() int64 {
	info, err := s.file.Stat()
	if err != nil {
		return s.info.Size()
	}
	return info.Size()
}

// read appends what is there to buf, at most a chunk. io.EOF says that there is nothing now; for a compressed file
// that there never will be.
func (s *source) read(buf []byte) ([]byte, error) {
	if s.packed() {
		return s.unpack(buf)
	}
	info, err := s.file.Stat()
	if err != nil {
		return buf, err
	}
	n := int(min(chunk, info.Size()-s.pos))
	if n < 0 {
		return buf, errTruncated
	}
	if n > 0 {
		buf = slices.Grow(buf, n)
		n, err = s.file.ReadAt(buf[len(buf):len(buf)+n], s.pos)
		if err != nil && !errors.Is(err, io.EOF) {
			return buf, err
		}
	}
	if n > 0 || !info.ModTime().Equal(s.mtime) {
		if err := s.verify(); err != nil {
			return buf, err
		}
		s.mtime = info.ModTime()
	}
	if n == 0 {
		return buf, io.EOF
	}
	s.pos += int64(n)
	return buf[:len(buf)+n], nil
}

// verify looks whether the file still begins as it did. What was read before that was of the same file then: one
// that is emptied and written again begins with another alert.
func (s *source) verify() error {
	n, err := s.file.ReadAt(s.check, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if !bytes.HasPrefix(s.check[:n], s.prefix) {
		return errTruncated
	}
	s.prefix = append(s.prefix, s.check[len(s.prefix):n]...)
	return nil
}

func (s *source) unpack(buf []byte) ([]byte, error) {
	buf = slices.Grow(buf, chunk)
	room := buf[len(buf) : len(buf)+chunk]
	if s.skip > 0 {
		n, err := s.gz.Read(room[:min(chunk, s.skip)])
		s.skip -= int64(n)
		if s.skip > 0 && errors.Is(err, io.EOF) {
			return buf, fmt.Errorf("it ends %d bytes before the place up to which it was read", s.skip)
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return buf, err
	}
	n := 0
	var err error
	for n < len(room) && err == nil {
		var m int
		m, err = s.gz.Read(room[n:])
		n += m
	}
	s.pos += int64(n)
	if n > 0 {
		err = nil // it comes again
	}
	return buf[:len(buf)+n], err
}

// digest returns the SHA-256 of the prefix, in hex.
func (s *source) digest() string {
	if len(s.prefix) > 0 && s.summed != len(s.prefix) {
		s.sum, s.summed = hexSHA256(s.prefix), len(s.prefix)
	}
	return s.sum
}

// since returns the time of the first alert in a file, as Wazuh wrote it; now if it cannot be told.
func (s *source) since() string {
	if t := gjson.GetBytes(s.prefix, "timestamp").Str; t != "" {
		return t
	}
	return time.Now().UTC().Format(time.RFC3339)
}

// lastLine returns the place of a plain file behind its last newline, or its end if that is not near.
func (s *source) lastLine() (int64, error) {
	size := s.info.Size()
	buf := make([]byte, min(size, maxLine))
	n, err := s.file.ReadAt(buf, size-int64(len(buf)))
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	if at := bytes.LastIndexByte(buf[:n], '\n'); at >= 0 {
		return size - int64(len(buf)) + int64(at) + 1, nil
	}
	if size <= maxLine {
		return 0, nil
	}
	return size, nil
}

func hexSHA256(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
