package alertlog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/tidwall/gjson"
)

// chunk is how much is read at once, in bytes.
const chunk = 256 << 10

// errTruncated says that a file does not begin as it did, or ends before the place up to which it was read.
var errTruncated = errors.New("truncated")

// A source is an open file of alerts, plain or compressed, that is read from front to back.
type source struct {
	name   string
	date   string // as in [Checkpoint.File]
	file   *os.File
	info   fs.FileInfo // as it was when the file was opened
	opened time.Time
	start  prefix
	pos    int64 // behind what was read, in uncompressed bytes
	text   interface {
		// read appends what there is to buf, at most a chunk.
		read(s *source, buf []byte) ([]byte, error)
	}
}

// A prefix is the first bytes of a file that are known, at most maxPrefix.
type prefix struct {
	bytes []byte
	sum   string // of bytes; empty until it is asked for
}

// digest returns the SHA-256 in hex; empty for no bytes.
func (p *prefix) digest() string {
	if p.sum == "" && len(p.bytes) > 0 {
		sum := sha256.Sum256(p.bytes)
		p.sum = hex.EncodeToString(sum[:])
	}
	return p.sum
}

// grow adds what longer has behind the bytes, with which it begins.
func (p *prefix) grow(longer []byte) {
	if len(longer) > len(p.bytes) {
		p.bytes, p.sum = append(p.bytes, longer[len(p.bytes):]...), ""
	}
}

// openSource opens a file at a place. A compressed file that is broken at its start opens too; reading it fails. The error
// is an [fs.PathError] without a remedy.
func openSource(name string, at int64) (*source, error) {
	if info, err := os.Stat(name); err != nil { // before opening it: opening a pipe would block
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, notAFile(name, info)
	}
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	s := &source{name: name, file: f, pos: at, opened: time.Now()}
	if s.info, err = f.Stat(); err == nil {
		if s.compressed() {
			s.text, s.start.bytes = newGzipText(f, at)
		} else {
			s.text, s.start.bytes, err = newPlainText(f, s.info)
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return s, nil
}

// openAny opens the file that has one of some names at a place; nil if none exists. date is its dated name.
func openAny(date string, at int64, names ...string) (*source, error) {
	for _, name := range names {
		s, err := openSource(name, at)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, readTrouble(err)
		}
		s.date = date
		return s, nil
	}
	return nil, nil
}

// notAFile is the error for a directory or a device in the place of a file.
func notAFile(name string, info fs.FileInfo) error {
	kind := "a pipe, socket or device"
	if info.IsDir() {
		kind = "a directory"
	}
	return &fs.PathError{Op: "open", Path: name, Err: errors.New("not a file but " + kind)}
}

func (s *source) compressed() bool { return strings.HasSuffix(s.name, ".gz") }

func (s *source) close() error { return s.file.Close() }

// inode returns the number of a plain file's inode; 0 for a compressed file, whose inode is not that of the alerts.
func (s *source) inode() uint64 {
	if s.compressed() {
		return 0
	}
	return inodeOf(s.info)
}

// size returns the present size of a plain file.
func (s *source) size() int64 {
	info, err := s.file.Stat()
	if err != nil {
		return s.info.Size()
	}
	return info.Size()
}

// read appends what there is to buf, at most a chunk. io.EOF says that there is nothing now; for a compressed file, that
// there never will be.
func (s *source) read(buf []byte) ([]byte, error) { return s.text.read(s, buf) }

// since returns the time of the first alert in a file, as Wazuh wrote it; the present time if it has none.
func (s *source) since() string {
	if t := gjson.GetBytes(s.start.bytes, "timestamp").Str; t != "" {
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

// readTrouble adds to an error, which names the place, what to do about it.
func readTrouble(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("alerts: %w; run as user wazuh, or as a member of the group wazuh", err)
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return fmt.Errorf("alerts: %w; raise the limit of open files", err)
	default:
		return fmt.Errorf("alerts: %w; check the disk, and that the path is the one that Wazuh writes its alerts to", err)
	}
}

// inodeOf returns the number of a file's inode.
func inodeOf(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}
