package lookback

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"custom-misp/engine/atomicfile"
)

const (
	reportedMagic  = "custom-misp reported v1\n"
	reportedRecord = 16        // bytes: a key, the day on which it ends (4, days since 1970), and the CRC-32C of both
	maxReported    = 1_000_000 // keys; beyond it, those that end first are forgotten
)

// reported are the keys of what events were sent for. It is for one goroutine.
type reported struct {
	name string
	file *os.File
	ends map[uint64]uint32 // the day on which a key ends, in days since 1970
	rows int               // of the file
}

func dayOf(t time.Time) uint32 { return uint32(max(0, t.Unix()/86400)) } //nolint:gosec // in 11 million years

// openReported reads the keys that have not ended. What a kill cut off is left out; damage ends what can be read, which is in
// damage.
func openReported(name string, now time.Time) (r *reported, damage error, err error) {
	r = &reported{name: name, ends: map[uint64]uint32{}}
	data, err := atomicfile.ReadFile(name, int64(len(reportedMagic))+4*maxReported*reportedRecord)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, atomicfile.ErrNotState):
		damage = err
	case err != nil:
		return nil, nil, err
	default:
		damage = r.parse(data)
	}
	return r, damage, r.rewrite(now)
}

// parse reads the records of a file.
func (r *reported) parse(data []byte) error {
	if len(data) < len(reportedMagic) || string(data[:len(reportedMagic)]) != reportedMagic {
		return fmt.Errorf("%s: it is damaged", r.name)
	}
	rows := data[len(reportedMagic):]
	for at := 0; at+reportedRecord <= len(rows); at += reportedRecord {
		row := rows[at : at+reportedRecord]
		if crc(row[:12]) != binary.LittleEndian.Uint32(row[12:]) {
			if at+reportedRecord >= len(rows)-reportedRecord {
				return nil // written last, and not as a whole
			}
			return fmt.Errorf("%s: it is damaged behind byte %d", r.name, len(reportedMagic)+at)
		}
		key, end := binary.LittleEndian.Uint64(row), binary.LittleEndian.Uint32(row[8:])
		r.ends[key] = max(r.ends[key], end)
	}
	return nil
}

func appendRow(to []byte, key uint64, end uint32) []byte {
	at := len(to)
	to = binary.LittleEndian.AppendUint64(to, key)
	to = binary.LittleEndian.AppendUint32(to, end)
	return binary.LittleEndian.AppendUint32(to, crc(to[at:]))
}

// rewrite forgets what has ended, and begins the file anew.
func (r *reported) rewrite(now time.Time) error {
	today := dayOf(now)
	for key, end := range r.ends {
		if end < today {
			delete(r.ends, key)
		}
	}
	r.forget()
	data := []byte(reportedMagic)
	for key, end := range r.ends {
		data = appendRow(data, key, end)
	}
	r.close()
	if err := atomicfile.WriteFile(r.name, data, atomicfile.Durable); err != nil {
		return err
	}
	f, err := atomicfile.Open(r.name, os.O_RDWR)
	if err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		return errors.Join(err, f.Close())
	}
	r.file, r.rows = f, len(r.ends)
	return nil
}

// forget leaves out the keys that end first, if there are too many.
func (r *reported) forget() {
	if len(r.ends) <= maxReported {
		return
	}
	ends := make([]uint32, 0, len(r.ends))
	for _, end := range r.ends {
		ends = append(ends, end)
	}
	slices.Sort(ends)
	first := ends[len(ends)-maxReported/2]
	for key, end := range r.ends {
		if end < first {
			delete(r.ends, key)
		}
	}
}

// has reports whether an event was sent for a key.
func (r *reported) has(key uint64) bool {
	_, found := r.ends[key]
	return found
}

// add notes that an event was sent for keys, which end on a day. It is on disk when add returns.
func (r *reported) add(keys []uint64, end, now time.Time) error {
	var rows []byte
	day := max(dayOf(end), dayOf(now))
	for _, key := range keys {
		if r.ends[key] < day {
			r.ends[key] = day
			rows = appendRow(rows, key, day)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	if _, err := r.file.Write(rows); err != nil {
		return r.rewrite(now) // what was written of it would hide what follows
	}
	if r.rows += len(rows) / reportedRecord; r.rows > 2*len(r.ends)+1000 || r.rows > 3*maxReported {
		return r.rewrite(now)
	}
	return r.file.Sync()
}

func (r *reported) close() {
	if r.file != nil {
		_ = r.file.Close() // all of it was synced
		r.file = nil
	}
}
