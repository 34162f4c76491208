package alertlog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"custom-misp/engine/atomicfile"
)

// maxPrefix is how much of the start of an alerts file tells it from all others, in bytes. The first alert in it
// has a time and an id, so that no two files start alike; a file system uses the number of an inode again.
const maxPrefix = 4096

// A Checkpoint says up to where alerts were read. It is found again when the file has been moved or compressed.
type Checkpoint struct {
	// File is the dated name of the file, from the directory of alerts.json on: 2026/Jan/ossec-alerts-05-001.json;
	// without .gz, and empty for a file that has none.
	File string `json:"file,omitempty"`
	// Inode is that of the file, 0 if it was read compressed.
	Inode uint64 `json:"inode,omitempty"`
	// PrefixLength is how many bytes of the start of the file PrefixSHA256 (in hex) was taken over; at most 4,096.
	PrefixLength int    `json:"prefix_length"`
	PrefixSHA256 string `json:"prefix_sha256,omitempty"`
	// Offset is the place behind the last line that was read, in uncompressed bytes.
	Offset int64 `json:"offset"`
	// Opened is when the file was opened for reading.
	Opened time.Time `json:"opened,omitzero"`
	// SavedAt is when the checkpoint was taken; [Checkpoint.Save] sets it anew.
	SavedAt time.Time `json:"saved_at,omitzero"`
}

// LoadCheckpoint reads a checkpoint; false if there is none yet. The error for a file that cannot be read or is
// broken says what to do.
func LoadCheckpoint(name string) (Checkpoint, bool, error) {
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return Checkpoint{}, false, nil
	}
	if err != nil {
		return Checkpoint{}, false, fmt.Errorf("checkpoint: %w; %s", err, "make it readable for the user that this program runs as")
	}
	var c Checkpoint
	err = json.Unmarshal(data, &c)
	if err == nil {
		err = c.check()
	}
	if err != nil {
		return Checkpoint{}, false, fmt.Errorf("checkpoint %s is broken: %w; remove it to start at the end of alerts.json, or put a copy of it back", name, err)
	}
	return c, true, nil
}

// check returns what cannot be in a checkpoint.
func (c Checkpoint) check() error {
	sum, err := hex.DecodeString(c.PrefixSHA256)
	_, dated := parseDated(c.File)
	switch {
	case c.Offset < 0:
		return fmt.Errorf("offset %d, not 0 or more", c.Offset)
	case c.PrefixLength < 0 || c.PrefixLength > maxPrefix:
		return fmt.Errorf("prefix_length %d, not 0 to %d", c.PrefixLength, maxPrefix)
	case c.PrefixLength == 0 && c.Offset > 0:
		return fmt.Errorf("offset %d without a prefix", c.Offset)
	case c.PrefixLength > 0 && (err != nil || len(sum) != sha256.Size):
		return fmt.Errorf("prefix_sha256 %q, not %d hex digits", c.PrefixSHA256, 2*sha256.Size)
	case c.File != "" && !dated:
		return fmt.Errorf("file %q, not like 2026/Jan/ossec-alerts-05.json", c.File)
	}
	return nil
}

// Save writes the checkpoint, so that the file is complete or as it was before whenever the power goes.
func (c Checkpoint) Save(name string) error {
	c.SavedAt = time.Now()
	data, err := json.Marshal(c)
	if err == nil {
		err = atomicfile.WriteFile(name, append(data, '\n'), atomicfile.Durable)
	}
	if err != nil {
		return fmt.Errorf("checkpoint: %w; make %s writable for the user that this program runs as, on a disk with space", err, filepath.Dir(name))
	}
	return nil
}

// untouched reports whether nothing of the file was read yet: whichever file it was, all of it is still to be read.
func (c Checkpoint) untouched() bool { return c.Offset == 0 }

// vague reports whether nothing is known of the file but its inode, since it was empty.
func (c Checkpoint) vague() bool { return c.PrefixLength == 0 }

// is reports whether an open file is the one of the checkpoint. What was read of it has to be there.
func (c Checkpoint) is(s *source) bool {
	// The start of a file of which nothing was read may be that of any line.
	if c.untouched() && (c.Inode == 0 || c.Inode != s.inode) || c.vague() && s.size() > 0 {
		return false
	}
	if !s.packed() && s.size() < c.Offset || len(s.prefix) < c.PrefixLength {
		return false
	}
	sum := sha256.Sum256(s.prefix[:c.PrefixLength])
	want, err := hex.DecodeString(c.PrefixSHA256)
	return c.vague() || err == nil && bytes.Equal(sum[:], want)
}

// day returns the day on which to begin to look for the file; the zero time for all.
func (c Checkpoint) day() time.Time {
	if d, ok := parseDated(c.File); ok {
		return d.day()
	}
	if c.Opened.IsZero() {
		return time.Time{}
	}
	// The file may be older than the moment it was opened in, but then it was still written to.
	return c.Opened.AddDate(0, 0, -2)
}
