package mirror

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"custom-misp/engine/atomicfile"
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

// openSegment maps a file of at most a number of bytes, for the caller to release. With check, all of it is compared with
// its checksums, once: a writer does that, because it can write the file again. A reader verifies what it reads.
func openSegment(ctx context.Context, name string, most int64, check bool) (*segment, error) {
	f, st, err := openRegular(name)
	switch {
	case errors.Is(err, atomicfile.ErrNotRegular):
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	case errors.Is(err, syscall.EIO):
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	case err != nil:
		return nil, err
	}
	s, err := openShared(ctx, f, st, most)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if check && !s.checked.Load() {
		if err := s.verify(unpaced(ctx)); err != nil {
			s.release()
			return nil, err
		}
		s.checked.Store(true)
	}
	return s, nil
}

// openShared returns the segment in a file, mapping it unless it is open already. It takes the file over.
func openShared(ctx context.Context, f *os.File, st fs.FileInfo, most int64) (_ *segment, err error) {
	id := fileID{size: st.Size(), modified: st.ModTime().UnixNano()}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		id.device, id.inode = int64(sys.Dev), int64(sys.Ino) //nolint:gosec // only compared
	}
	opened.Lock()
	defer opened.Unlock()
	if s, ok := opened.segments[id]; ok {
		s.users++
		return s, f.Close()
	}
	s := &segment{id: id, name: f.Name(), file: f, users: 1}
	s.changed.Store(id.modified)
	if err := s.open(ctx, most); err != nil {
		s.close()
		return nil, err
	}
	opened.segments[id] = s
	return s, nil
}

// open reads what the file says of itself, and maps it.
func (s *segment) open(ctx context.Context, most int64) (err error) {
	size := s.id.size
	if err := s.parse(s.file, size); err != nil {
		return err
	}
	if size > min(most, maxSegment) || size != int64(int(size)) {
		return fmt.Errorf("%w: %d bytes", errDamaged, size)
	}
	if s.version == oldVersion {
		if err := s.compareOldSum(ctx, s.file); err != nil {
			return err
		}
	}
	data, err := syscall.Mmap(int(s.file.Fd()), 0, int(size), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map into memory: %w", err)
	}
	s.mapped(data)
	return nil
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
	s.close()
}

// close gives the memory back. A segment that is read afterwards, which is a fault of this package, panics instead of
// reading memory that may be something else by then.
func (s *segment) close() {
	if s.data != nil {
		_ = syscall.Munmap(s.data)
	}
	_ = s.file.Close() // only read
	s.data = nil
}
