package export

import (
	"bufio"
	"cmp"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// testOnlySortMemory is how many bytes a sorter holds before it writes them to disk.
var testOnlySortMemory = 16 << 20

// A sorted is a line of an export. Lines come out in the order of key; of those with one key only the one that is
// first by rank, and then by its text, so that the order that lines are put in never matters.
type sorted struct {
	key  string
	rank string
	line string
}

func compareSorted(a, b sorted) int {
	return cmp.Or(strings.Compare(a.key, b.key), strings.Compare(a.rank, b.rank), strings.Compare(a.line, b.line))
}

// A sorter sorts more lines than memory should hold: runs that are sorted in memory in one temporary file,
// which has no name any more, and are merged as they are read.
type sorter struct {
	held []sorted
	size int
	file *os.File
	runs []int64 // where each begins in file
	end  int64
}

func (s *sorter) add(l sorted) error {
	s.held = append(s.held, l)
	s.size += len(l.key) + len(l.rank) + len(l.line) + 64 // and the slice's own
	if s.size < testOnlySortMemory {
		return nil
	}
	return s.spill()
}

// spill writes what is held as a run.
func (s *sorter) spill() error {
	if s.file == nil {
		f, err := os.CreateTemp("", "custom-misp-export-")
		if err != nil {
			return fmt.Errorf("room for sorting: %w; set TMPDIR to a directory with some", err)
		}
		s.file = f
		if err := os.Remove(f.Name()); err != nil {
			return err
		}
	}
	s.sort()
	s.runs = append(s.runs, s.end)
	out := bufio.NewWriterSize(s.file, 1<<16)
	var b []byte
	for _, l := range s.held {
		b = b[:0]
		for _, part := range []string{l.key, l.rank, l.line} {
			b = binary.AppendUvarint(b, uint64(len(part)))
			b = append(b, part...)
		}
		s.end += int64(len(b))
		if _, err := out.Write(b); err != nil {
			return fmt.Errorf("room for sorting: %w; set TMPDIR to a directory with some", err)
		}
	}
	clear(s.held)
	s.held, s.size = s.held[:0], 0
	if err := out.Flush(); err != nil {
		return fmt.Errorf("room for sorting: %w; set TMPDIR to a directory with some", err)
	}
	return nil
}

func (s *sorter) sort() { slices.SortFunc(s.held, compareSorted) }

// each gives the lines in order.
func (s *sorter) each(do func(sorted) error) error {
	last, any := "", false
	once := func(l sorted) error {
		if any && l.key == last {
			return nil
		}
		last, any = l.key, true
		return do(l)
	}
	if s.file == nil {
		s.sort()
		for _, l := range s.held {
			if err := once(l); err != nil {
				return err
			}
		}
		return nil
	}
	if err := s.spill(); err != nil {
		return err
	}
	var m runMerge
	for i, at := range s.runs {
		to := s.end
		if i+1 < len(s.runs) {
			to = s.runs[i+1]
		}
		r := &sortedRun{in: bufio.NewReaderSize(io.NewSectionReader(s.file, at, to-at), 1<<16)}
		if err := m.take(r); err != nil {
			return err
		}
	}
	for len(m) > 0 {
		r := m[0]
		if err := once(r.now); err != nil {
			return err
		}
		heap.Pop(&m)
		if err := m.take(r); err != nil {
			return err
		}
	}
	return nil
}

// close gives the disk back.
func (s *sorter) close() error {
	s.held = nil
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

// A sortedRun is read line by line.
type sortedRun struct {
	in  *bufio.Reader
	now sorted
}

// next reads a line; io.EOF after the last.
func (r *sortedRun) next() error {
	for i, part := range []*string{&r.now.key, &r.now.rank, &r.now.line} {
		n, err := binary.ReadUvarint(r.in)
		if err != nil {
			if i > 0 && errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(r.in, b); err != nil {
			return err
		}
		*part = string(b)
	}
	return nil
}

// A runMerge is a heap of the runs that still have lines.
type runMerge []*sortedRun

func (m *runMerge) take(r *sortedRun) error {
	err := r.next()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read what was sorted: %w", err)
	}
	heap.Push(m, r)
	return nil
}

func (m runMerge) Len() int           { return len(m) }
func (m runMerge) Less(i, j int) bool { return compareSorted(m[i].now, m[j].now) < 0 }
func (m runMerge) Swap(i, j int)      { m[i], m[j] = m[j], m[i] }
func (m *runMerge) Push(x any)        { *m = append(*m, x.(*sortedRun)) } //nolint:forcetypeassert,errcheck // only runs are pushed
func (m *runMerge) Pop() any {
	old := *m
	r := old[len(old)-1]
	*m = old[:len(old)-1]
	return r
}
