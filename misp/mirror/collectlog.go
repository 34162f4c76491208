package mirror

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"time"

	"custom-misp/engine/atomicfile"
)

const (
	collectedFile  = "collected"  // what a complete walk has collected, and what came since
	collectingFile = "collecting" // what a walk over everything has collected that is not complete
	// collectedWhole is how often everything is collected anew, which is how what is gone at the server is seen.
	collectedWhole = 7 * 24 * time.Hour
	// leastWhole is the length from which a log is collected anew when it has become four times as long.
	leastWhole = 64 << 20
	// maxCollectLine bounds a line of a log; no object is longer.
	maxCollectLine = maxPage + 1<<20
)

// A collectLog is the file of what was collected: an object in JSON in each line, so that it can be read as it is. Lines of its
// own begin with a blank, which no object does. It is written to its end only; a page counts with the line behind it, which
// has a checksum.
type collectLog struct {
	dir, name string
	file      *os.File
	size      int64  // up to the last complete page
	kept      int64  // bytes of objects in this
	sum       uint32 // over the checksums of pages with objects
	header    collectHeader
	cursors   map[string]string
	done      collectDone // of the walk over everything
}

// A collectHeader begins a log.
type collectHeader struct {
	Version int       `json:"custom-misp-collected"`
	Form    string    `json:"form"` // what is collected
	Began   time.Time `json:"began"`
}

// A collectPage ends a page.
type collectPage struct {
	Sum    string `json:"custom-misp-page"` // CRC-32C of the lines since the last line of the log's own, and of these two
	Of     string `json:"of"`
	Cursor string `json:"cursor"`
}

// check is the checksum of a page whose lines have a checksum.
func (p collectPage) check(lines uint32) string {
	return fmt.Sprintf("%08x", crc32.Update(lines, crcTable(), []byte(p.Of+"\x00"+p.Cursor)))
}

// A collectDone ends a walk over everything.
type collectDone struct {
	At   time.Time `json:"custom-misp-complete,omitzero"`
	Size int64     `json:"size,omitempty"`
}

// openCollected opens what was collected: the log of a walk over everything that is not complete, if there is one; else the
// one to which what is new is added. With whole, or if it is time, or if there is none that collects the same, a walk over
// everything begins.
func openCollected(dir, form string, whole bool, now time.Time) (*collectLog, error) {
	if whole {
		if err := os.Remove(filepath.Join(dir, collectingFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	for _, name := range []string{collectingFile, collectedFile} {
		l, err := loadCollected(dir, name)
		if err != nil {
			return nil, err
		}
		if l == nil {
			continue
		}
		outdated := due(now, l.header.Began, collectedWhole) || l.size > leastWhole && l.size > 4*l.done.Size
		if l.header.Form == form && (name == collectingFile && !due(now, l.header.Began, collectedWhole) || !whole && !outdated) {
			return l, l.file.Truncate(l.size)
		}
		if err := l.Close(); err != nil {
			return nil, err
		}
	}
	return newCollected(dir, collectHeader{Version: 1, Form: form, Began: now.UTC()})
}

// newCollected begins the log of a walk over everything.
func newCollected(dir string, h collectHeader) (*collectLog, error) {
	l := &collectLog{dir: dir, name: filepath.Join(dir, collectingFile), header: h, cursors: map[string]string{}}
	f, err := atomicfile.Open(l.name, os.O_CREATE|os.O_RDWR)
	if err != nil {
		return nil, err
	}
	l.file = f
	if err := f.Truncate(0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := l.write(nil, h); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return l, nil
}

// loadCollected opens a log, up to its last complete page; nil if there is none that can be used.
func loadCollected(dir, name string) (*collectLog, error) {
	l := &collectLog{dir: dir, name: filepath.Join(dir, name), cursors: map[string]string{}}
	if _, err := os.Lstat(l.name); errors.Is(err, os.ErrNotExist) {
		return nil, nil //nolint:nilnil // there is none
	}
	f, err := atomicfile.Open(l.name, os.O_RDWR)
	if err != nil {
		return nil, err
	}
	l.file = f
	err = l.load()
	if l.header.Version > 1 {
		err = fmt.Errorf("%s: %w", l.name, newer(l.header.Version, 1))
	}
	if err != nil || l.header.Version != 1 {
		return nil, errors.Join(err, f.Close())
	}
	return l, nil
}

// load reads what is complete.
func (l *collectLog) load() error {
	in := bufio.NewReaderSize(l.file, 1<<16)
	sum, at, kept := uint32(0), int64(0), int64(0)
	for {
		line, err := readLine(in)
		if errors.Is(err, io.EOF) || errors.Is(err, errLong) {
			return nil // what is left is no complete page
		}
		if err != nil {
			return err
		}
		at += int64(len(line))
		if line[0] != ' ' {
			sum, kept = crc32.Update(sum, crcTable(), line), kept+int64(len(line))
			continue
		}
		if !l.own(line, sum) {
			return nil
		}
		l.count(sum, kept)
		l.size, sum, kept = at, 0, 0
	}
}

// count counts the objects of a page.
func (l *collectLog) count(sum uint32, kept int64) {
	if kept > 0 {
		l.sum = crc32.Update(l.sum, crcTable(), fmt.Appendf(nil, "%08x", sum))
		l.kept += kept
	}
}

// own reads a line of the log's own; false if it does not fit what is before it.
func (l *collectLog) own(line []byte, sum uint32) bool {
	var all struct {
		collectHeader
		collectPage
		collectDone
	}
	if json.Unmarshal(line, &all) != nil {
		return false
	}
	switch {
	case l.size == 0:
		l.header = all.collectHeader
		return all.Version == 1
	case all.Sum != "":
		if all.Sum != all.check(sum) {
			return false
		}
		l.cursors[all.Of] = all.Cursor
		return true
	case !all.At.IsZero():
		l.done = all.collectDone
		return true
	}
	return false
}

// readLine reads a line with its end; io.EOF if it has none.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if err == nil || !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
		if len(line) > maxCollectLine {
			return nil, errLong
		}
	}
}

// page adds a page and its cursor.
func (l *collectLog) page(name, cursor string, objects [][]byte, most int64) error {
	if len(objects) == 0 && l.cursors[name] == cursor {
		return nil
	}
	var lines bytes.Buffer
	for _, o := range objects {
		if err := json.Compact(&lines, o); err != nil {
			return err
		}
		lines.WriteByte('\n')
	}
	if l.size+int64(lines.Len()) > most {
		return fmt.Errorf("%w: more than %d bytes of objects", errLong, most)
	}
	sum := crc32.Checksum(lines.Bytes(), crcTable())
	kept := int64(lines.Len())
	page := collectPage{Of: name, Cursor: cursor}
	page.Sum = page.check(sum)
	if err := l.write(lines.Bytes(), page); err != nil {
		return err
	}
	l.count(sum, kept)
	l.cursors[name] = cursor
	return nil
}

// write adds lines, and one of the log's own behind them.
func (l *collectLog) write(lines []byte, own any) error {
	data, err := json.Marshal(own)
	if err != nil {
		return err
	}
	data = fmt.Appendf(nil, " %s\n", data)
	if _, err := l.file.WriteAt(append(lines, data...), l.size); err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	l.size += int64(len(lines) + len(data))
	return nil
}

// complete notes that a walk is complete. One over everything takes the place of what was collected before.
func (l *collectLog) complete(now time.Time) error {
	if filepath.Base(l.name) != collectingFile {
		return nil
	}
	l.done = collectDone{now.UTC(), l.size}
	if err := l.write(nil, l.done); err != nil {
		return err
	}
	name := filepath.Join(l.dir, collectedFile)
	if err := os.Rename(l.name, name); err != nil {
		return err
	}
	l.name = name
	return nil
}

// tag identifies the objects that were collected.
func (l *collectLog) tag() string { return fmt.Sprintf("%d-%08x", l.kept, l.sum) }

// ReadAt implements File.
func (l *collectLog) ReadAt(b []byte, at int64) (int, error) { return l.file.ReadAt(b, at) }

// Size implements File.
func (l *collectLog) Size() int64 { return l.size }

// Close implements io.Closer.
func (l *collectLog) Close() error { return l.file.Close() }
