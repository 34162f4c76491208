package alertlog_test

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// failer is what a test of testing and one of rapid have in common.
type failer interface {
	Helper()
	Fatal(args ...any)
}

// site writes alerts as analysisd does, and rotates and compresses the files as monitord and logrotate do.
type site struct {
	t       failer
	path    string
	day     time.Time
	counter int
	out     *os.File
	files   []string // dated files so far; the last one is written to
	moved   bool     // no dated files: alerts.json is moved
	moves   int
}

func newSite(t testing.TB) *site {
	t.Helper()
	return openSite(t, filepath.Join(t.TempDir(), "alerts.json"))
}

func openSite(t testing.TB, path string) *site {
	t.Helper()
	s := &site{t: t, path: path, day: time.Date(2026, 1, 5, 0, 0, 0, 0, time.Local)}
	s.open()
	t.Cleanup(func() { _ = s.out.Close() })
	return s
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// file returns the dated file that is written to.
func (s *site) file() string { return s.files[len(s.files)-1] }

func (s *site) open() {
	s.t.Helper()
	if s.out != nil {
		s.must(s.out.Close())
	}
	kind := "alerts"
	if filepath.Base(s.path) == "archives.json" {
		kind = "archive"
	}
	name := filepath.Join(filepath.Dir(s.path), s.day.Format("2006/Jan/")+"ossec-"+kind+s.day.Format("-02"))
	if s.counter > 0 {
		name += fmt.Sprintf("-%03d", s.counter)
	}
	name += ".json"
	s.must(os.MkdirAll(filepath.Dir(name), 0o700))
	s.files = append(s.files, name)
	s.openFile(name)
	s.relink()
}

func (s *site) openFile(name string) {
	s.t.Helper()
	out, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	s.must(err)
	s.out = out
}

// relink makes alerts.json a name of the dated file, as rotation and a restart of the manager do.
func (s *site) relink() {
	s.t.Helper()
	if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.t.Fatal(err)
	}
	s.must(os.Link(s.file(), s.path))
}

// undated removes the dated files: logrotate moves alerts.json instead.
func (s *site) undated() {
	s.t.Helper()
	s.must(os.RemoveAll(filepath.Join(filepath.Dir(s.path), "2026")))
	s.moved = true
}

// writes reports whether a file is the one that is written to.
func (s *site) writes(info fs.FileInfo) bool {
	s.t.Helper()
	own, err := s.out.Stat()
	s.must(err)
	return os.SameFile(own, info)
}

func (s *site) write(text string) {
	s.t.Helper()
	_, err := s.out.WriteString(text)
	s.must(err)
}

func (s *site) writeTo(name, text string) {
	s.t.Helper()
	out, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	s.must(err)
	_, err = out.WriteString(text)
	s.must(errors.Join(err, out.Close()))
}

// rotate begins a file of the next day.
func (s *site) rotate() {
	s.t.Helper()
	s.day, s.counter = s.day.AddDate(0, 0, 1), 0
	s.open()
}

// rotateSize begins a further file of the day.
func (s *site) rotateSize() {
	s.t.Helper()
	s.counter++
	s.open()
}

// move does what logrotate does: .1 becomes .2 and so on, alerts.json becomes .1.
func (s *site) move() {
	s.t.Helper()
	for n := s.moves; n > 0; n-- {
		for _, end := range []string{"", ".gz"} {
			err := os.Rename(fmt.Sprintf("%s.%d%s", s.path, n, end), fmt.Sprintf("%s.%d%s", s.path, n+1, end))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				s.t.Fatal(err)
			}
		}
	}
	s.moves++
	s.must(os.Rename(s.path, s.path+".1"))
	s.must(s.out.Close())
	s.openFile(s.path)
}

// pack compresses the nth file, and removes the plain one.
func (s *site) pack(n int) {
	s.t.Helper()
	s.packFile(s.files[n])
}

func (s *site) packFile(name string) {
	s.t.Helper()
	s.must(os.WriteFile(name+".gz", s.packed(name), 0o600))
	info, err := os.Stat(name)
	s.must(err)
	s.must(os.Chtimes(name+".gz", info.ModTime(), info.ModTime()))
	s.must(os.Remove(name))
}

// packed returns the compressed content of a file.
func (s *site) packed(name string) []byte {
	s.t.Helper()
	data, err := os.ReadFile(name)
	s.must(err)
	return pack(s.t, data)
}

func pack(t failer, data []byte) []byte {
	t.Helper()
	var out writer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

type writer []byte

func (w *writer) Write(p []byte) (int, error) {
	*w = append(*w, p...)
	return len(p), nil
}
