package alertlog

import (
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"custom-misp/engine/atomicfile"
)

// This file knows where Wazuh writes alerts. analysisd writes into a dated file and makes alerts.json another name (a hard
// link) of it. At midnight, or when the file becomes too large, it opens the next one and moves the name there. monitord
// compresses the files of past days. archives.json has dated files of the same kind, ossec-archive-05.json:
//
//	alerts.json
//	2026/Jan/ossec-alerts-05.json.gz
//	2026/Jan/ossec-alerts-06.json
//	2026/Jan/ossec-alerts-06-001.json
//
// logrotate moves the file itself, or copies and empties it: alerts.json.1, alerts.json-20260105.gz.

var months = []string{"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"}

// dated is what the name of a dated file says. Counter is 0 for the first file of a day.
type dated struct{ Year, Month, Day, Counter int }

var datedForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(\d{4})/([A-Z][a-z]{2})/ossec-(?:alerts|archive)-(\d{2})(?:-(\d{3,6}))?\.json$`)
})

// parseDated reads a name like 2026/Jan/ossec-alerts-05-001.json.
func parseDated(s string) (dated, bool) {
	m := datedForm().FindStringSubmatch(s)
	if m == nil || !slices.Contains(months, m[2]) {
		return dated{}, false
	}
	number := func(s string) int {
		n, _ := strconv.Atoi(s) // digits, few of them
		return n
	}
	d := dated{number(m[1]), slices.Index(months, m[2]) + 1, number(m[3]), number(m[4])}
	return d, d.Day >= 1 && d.Day <= 31
}

func (d dated) compare(e dated) int {
	return cmp.Or(cmp.Compare(d.Year, e.Year), cmp.Compare(d.Month, e.Month), cmp.Compare(d.Day, e.Day), cmp.Compare(d.Counter, e.Counter))
}

func (d dated) day() time.Time {
	return time.Date(d.Year, time.Month(d.Month), d.Day, 0, 0, 0, 0, time.Local)
}

// A generation is one file of alerts, which may exist plain, compressed, or both.
type generation struct {
	path              string // without .gz
	file              string // as in [Checkpoint.File]: empty if it is not dated
	date              dated
	plain, compressed fs.FileInfo // nil where there is none
}

// names returns the names that the file may have now, the preferred one first.
func (g generation) names() []string { return []string{g.path, g.path + ".gz"} }

// open opens the file at its start; nil if it is gone.
func (g generation) open() (*source, error) { return openAny(g.file, 0, g.names()...) }

// empty reports whether there is nothing in the file.
func (g generation) empty() bool {
	switch {
	case g.plain != nil:
		return g.plain.Size() == 0
	case g.compressed == nil || g.compressed.Size() == 0:
		return true
	case g.compressed.Size() > 128: // longer than a header with a name and a trailer
		return false
	}
	s, err := openSource(g.path+".gz", 0)
	if err != nil {
		return false
	}
	defer s.close() //nolint:errcheck // only read
	text, err := s.read(nil)
	return len(text) == 0 && errors.Is(err, io.EOF)
}

// size returns the size in uncompressed bytes. gzip stores it modulo 4 GiB at the end of the file. So it is an estimate for
// longer files, and for files that were put together from several ones.
func (g generation) size() int64 {
	if g.plain != nil {
		return g.plain.Size()
	}
	if g.compressed == nil || g.compressed.Size() < 4 {
		return 0
	}
	f, err := atomicfile.OpenRegular(g.path + ".gz")
	if err != nil {
		return g.compressed.Size()
	}
	defer f.Close() //nolint:errcheck // only read
	var last [4]byte
	if _, err := f.ReadAt(last[:], g.compressed.Size()-4); err != nil {
		return g.compressed.Size()
	}
	size := int64(binary.LittleEndian.Uint32(last[:]))
	for size < g.compressed.Size()-64 { // alerts never grow by compression, except for header and trailer
		size += 1 << 32
	}
	return size
}

// listDated returns the dated files of a day and later ones, oldest first.
func listDated(dir string, from time.Time) ([]generation, error) {
	years, err := readDir(dir)
	if err != nil {
		return nil, err
	}
	first := dated{Year: from.Year(), Month: int(from.Month()), Day: from.Day()}
	var all []generation
	for _, year := range years {
		if y, err := strconv.Atoi(year); err != nil || len(year) != 4 || y < first.Year {
			continue
		}
		for _, month := range months {
			if all, err = addMonth(all, dir, year+"/"+month, first); err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(all, func(a, b generation) int { return a.date.compare(b.date) })
	return all, nil
}

// addMonth adds the dated files of a month, like 2026/Jan, except those before first.
func addMonth(all []generation, dir, month string, first dated) ([]generation, error) {
	if d, _ := parseDated(month + "/ossec-alerts-31.json"); d.compare(first) < 0 {
		return all, nil
	}
	names, err := readDir(filepath.Join(dir, month))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		file := month + "/" + name
		if d, ok := parseDated(strings.TrimSuffix(file, ".gz")); ok && d.compare(first) >= 0 {
			all = addName(all, generation{path: filepath.Join(dir, file), file: file, date: d})
		}
	}
	return all, nil
}

// listMoved returns the files that alerts.json was moved or copied to, in its own directory, oldest first: those with
// a number from the highest one down, then those with a date or another word.
func listMoved(path string) ([]generation, error) {
	names, err := readDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	var all []generation
	base := filepath.Base(path)
	for _, name := range names {
		rest, ok := strings.CutPrefix(name, base)
		if ok && len(rest) > 1 && (rest[0] == '.' || rest[0] == '-') && rest != ".gz" {
			all = addName(all, generation{path: filepath.Join(filepath.Dir(path), name)})
		}
	}
	number := func(g generation) int {
		n, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(g.path), base+"."))
		if err != nil {
			return -1
		}
		return n
	}
	slices.SortFunc(all, func(a, b generation) int {
		return cmp.Or(cmp.Compare(number(b), number(a)), strings.Compare(a.path, b.path))
	})
	return all, nil
}

// addName adds a file whose path and file may end in .gz, to the generation of the same name if there is one.
func addName(all []generation, g generation) []generation {
	info, err := os.Stat(g.path)
	if errors.Is(err, fs.ErrNotExist) && !strings.HasSuffix(g.path, ".gz") {
		g.path += ".gz" // compressed since the directory was read
		info, err = os.Stat(g.path)
	}
	if err != nil || !info.Mode().IsRegular() {
		return all // removed meanwhile, or not a file of Wazuh's
	}
	name, compressed := strings.CutSuffix(g.path, ".gz")
	g.path, g.file = name, strings.TrimSuffix(g.file, ".gz")
	at := slices.IndexFunc(all, func(other generation) bool { return other.path == name })
	if at < 0 {
		at = len(all)
		all = append(all, g)
	}
	if compressed {
		all[at].compressed = info
	} else {
		all[at].plain = info
	}
	return all
}

// readDir returns the names in a directory; none if it does not exist.
func readDir(dir string) ([]string, error) {
	f, err := atomicfile.OpenDir(dir)
	if err == nil {
		defer f.Close() //nolint:errcheck // only read
		var names []string
		if names, err = f.Readdirnames(-1); err == nil {
			slices.Sort(names)
			return names, nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	return nil, readTrouble(err)
}
