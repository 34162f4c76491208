package mirror

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"reflect"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"syscall"
)

// This file verifies what is read of a mapped file. A block is compared with its checksum when it is first read, and
// again by [segment.verify], which reads the file and not the mapping. A block that is found damaged is no longer
// verified, so that each look-up that needs it fails, and no other does.

// bitmap has a bit for each block. It is safe for concurrent use.
type bitmap []atomic.Uint64

func newBitmap(n int64) bitmap { return make(bitmap, (n+63)/64) }

func (b bitmap) has(i uint64) bool { return b[i/64].Load()&(1<<(i%64)) != 0 }

func (b bitmap) set(i uint64) { b[i/64].Or(1 << (i % 64)) }

func (b bitmap) clear(i uint64) { b[i/64].And(^(uint64(1) << (i % 64))) }

// bytes returns n bytes of the file, verified. Its caller has deferred [segment.caught], and keeps no part of them.
func (s *segment) bytes(at, n uint64) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	last := (at + n - 1) >> s.blockBits
	for block := at >> s.blockBits; block <= last; block++ {
		if !s.verified.has(block) {
			if err := s.verifyMapped(block); err != nil {
				return nil, err
			}
		}
	}
	return s.data[at : at+n : at+n], nil
}

// uncut returns an error if the file became shorter: then its last bytes are gone. What reads a block that was verified
// before calls it afterwards, because behind the end of a shorter file the last page of a mapping reads as zeros.
func (s *segment) uncut() error {
	if binary.LittleEndian.Uint64(s.data[len(s.data)-len(magic):]) == s.end {
		return nil
	}
	return s.damagedf("the file became shorter")
}

// verifyMapped compares a block of the mapping with its checksum.
func (s *segment) verifyMapped(block uint64) error {
	from, to := s.blockAt(block)
	if crc32.Checksum(s.data[from:to], crcTable()) != s.sums[block] {
		return s.damagedf("wrong checksum of bytes %d to %d", from, to-1)
	}
	s.verified.set(block)
	return nil
}

// blockAt returns where a block begins and ends.
func (s *segment) blockAt(block uint64) (from, to int64) {
	from = int64(block) << s.blockBits //nolint:gosec // inside of the file
	return from, min(from+1<<s.blockBits, s.covered)
}

// damagedf returns an error about a damaged file, and notes it on the segment.
func (s *segment) damagedf(format string, args ...any) error {
	err := fmt.Errorf("%s: %w: %s", s.name, errDamaged, fmt.Sprintf(format, args...))
	s.note(err)
	return err
}

// note notes the first damage that was found.
func (s *segment) note(err error) { s.damage.CompareAndSwap(nil, &err) }

// damaged returns the damage that was found so far; nil for none.
func (s *segment) damaged() error {
	if s == nil {
		return nil
	}
	if err := s.damage.Load(); err != nil {
		return *err
	}
	return nil
}

// caught is deferred by what reads the mapping, with the result of [debug.SetPanicOnFault]. Where a file became shorter
// or the disk fails, the kernel sends SIGBUS, which would end the process; it becomes an error.
func (s *segment) caught(before bool, err *error) {
	debug.SetPanicOnFault(before)
	r := recover()
	if r == nil {
		return
	}
	fault, ok := r.(interface {
		runtime.Error
		Addr() uintptr
	})
	if !ok || fault.Addr() < s.start || fault.Addr()-s.start >= uintptr(len(s.data)) {
		panic(r)
	}
	*err = s.damagedf("cannot be read at byte %d: the file became shorter, or the disk failed", fault.Addr()-s.start)
}

// mapped takes the mapping of the file.
func (s *segment) mapped(data []byte) {
	s.data, s.start = data, reflect.ValueOf(data).Pointer()
	s.end = binary.LittleEndian.Uint64(fmt.Appendf(nil, "%s%02d", magicPrefix, s.version))
}

// checkChange finds a file that became shorter or longer, before a look-up does. Nothing changes a file that has its name: if
// something did, all blocks are verified again when they are read.
func (s *segment) checkChange() {
	var st syscall.Stat_t                                        // a look-up checks each file: os.FileInfo would be allocated
	if err := syscall.Fstat(int(s.file.Fd()), &st); err != nil { //nolint:gosec // a descriptor is an int
		return
	}
	if at := st.Mtim.Nano(); s.changed.Swap(at) != at {
		for i := range s.verified {
			s.verified[i].Store(0)
		}
		s.recent.Clear()
		s.recents.Store(0)
	}
	if st.Size != int64(len(s.data)) {
		s.note(fmt.Errorf("%s: %w: %d bytes, and it had %d", s.name, errDamaged, st.Size, len(s.data)))
	}
}

// verify compares the blocks with their checksums, all of them, also those that were verified before. It reads the file
// and not the mapping: pages of that would stay with the process. pause is called after each block, with its length; an
// error of it ends the work. The error is the first damage.
func (s *segment) verify(pause func(n int) error) (err error) {
	buf := make([]byte, 1<<s.blockBits)
	for block := range uint64(len(s.sums)) {
		from, to := s.blockAt(block)
		data := buf[:to-from]
		found := readAt(s.file, data, from)
		if found == nil && crc32.Checksum(data, crcTable()) != s.sums[block] {
			found = fmt.Errorf("%w: wrong checksum of bytes %d to %d", errDamaged, from, to-1)
		}
		switch {
		case found == nil:
			s.verified.set(block)
		case !errors.Is(found, errDamaged):
			return found
		default:
			s.verified.clear(block)
			found = fmt.Errorf("%s: %w", s.name, found)
			s.note(found)
			if err == nil {
				err = found
			}
		}
		if stop := pause(len(data)); stop != nil {
			return stop
		}
	}
	return err
}

// unpaced returns a pause for [segment.verify] that does not wait.
func unpaced(ctx context.Context) func(int) error { return func(int) error { return ctx.Err() } }

// compareOldSum compares a file of [oldVersion] with its one checksum, and makes checksums of its blocks, which are kept
// in memory.
func (s *segment) compareOldSum(ctx context.Context, r io.ReaderAt) error {
	buf := make([]byte, 1<<s.blockBits)
	sum := uint32(0)
	for block := range uint64(len(s.sums)) {
		from, to := s.blockAt(block)
		data := buf[:to-from]
		if err := errors.Join(ctx.Err(), readAt(r, data, from)); err != nil {
			return err
		}
		sum = crc32.Update(sum, crcTable(), data)
		s.sums[block] = crc32.Checksum(data, crcTable())
		s.verified.set(block)
	}
	if sum != s.oldSum {
		return fmt.Errorf("%w: wrong checksum", errDamaged)
	}
	return nil
}
