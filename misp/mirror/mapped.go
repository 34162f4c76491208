package mirror

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
)

// This file owns the mapped files. A segment that is open counts its users. Each user has got it from [openSegment] or
// from retain, and gives it back with release, once. The last release unmaps the file: only a user of a segment, or
// what a user calls, may read it. Snapshots are the users of segments, and views are the users of snapshots; a look-up
// uses a view.

// fileID identifies a file for as long as it is mapped.
type fileID struct{ device, inode, size, modified int64 }

// opened holds the segments that this process has mapped: a file that is both looked up in and synced is mapped once.
// Its mutex guards the counts of users too.
var opened = struct {
	sync.Mutex
	segments map[fileID]*segment
}{segments: map[fileID]*segment{}}

// openSegment maps a file of at most a number of bytes, for the caller to release. With check, the file is read once as a whole and compared with
// its checksum: a writer does that, because it can write the file again. A reader finds nothing where a record is
// damaged.
func openSegment(ctx context.Context, name string, most int64, check bool) (*segment, error) {
	f, st, err := openRegular(name, os.O_RDONLY, 0)
	if errors.Is(err, errNotRegular) {
		err = fmt.Errorf("%w: %w", errDamaged, err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read; the mapping stays
	if st.Size() > min(most, maxSegment) {
		return nil, fmt.Errorf("%s: %w: %d bytes", name, errDamaged, st.Size())
	}
	s, err := openShared(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if check && !s.checked.Load() {
		if err := s.compareSum(ctx, f); err != nil {
			s.release()
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		s.checked.Store(true)
	}
	return s, nil
}

// openShared returns the segment in a file, mapping it unless it is open already.
func openShared(f *os.File) (*segment, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	id := fileID{size: st.Size(), modified: st.ModTime().UnixNano()}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		id.device, id.inode = int64(sys.Dev), int64(sys.Ino) //nolint:gosec // only compared
	}
	opened.Lock()
	defer opened.Unlock()
	if s, ok := opened.segments[id]; ok {
		s.users++
		return s, nil
	}
	data, err := mapFile(f, st.Size())
	if err != nil {
		return nil, err
	}
	s := &segment{id: id, data: data, users: 1}
	if err := s.parse(); err != nil {
		s.unmap()
		return nil, err
	}
	opened.segments[id] = s
	return s, nil
}

func mapFile(f *os.File, size int64) ([]byte, error) {
	if size < int64(len(magic)+tailSize) || size != int64(int(size)) {
		return nil, fmt.Errorf("%w: %d bytes", errDamaged, size)
	}
	data, err := syscall.Mmap(int(f.Fd()), 0, int(size), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map into memory: %w", err)
	}
	return data, nil
}

// retain adds a user. The caller is a user itself.
func (s *segment) retain() {
	if s == nil {
		return
	}
	opened.Lock()
	defer opened.Unlock()
	s.users++
}

// release ends the use by one user; the last one closes the segment.
func (s *segment) release() {
	if s == nil {
		return
	}
	opened.Lock()
	defer opened.Unlock()
	switch s.users--; {
	case s.users > 0:
		return
	case s.users < 0:
		panic("segment released more often than retained")
	}
	delete(opened.segments, s.id)
	s.unmap()
}

// unmap gives the memory back. A segment that is read afterwards, which is a fault of this package, panics instead of
// reading memory that may be something else by then.
func (s *segment) unmap() {
	_ = syscall.Munmap(s.data)
	s.data, s.byIndicator, s.byUUID = nil, table{}, table{}
}
