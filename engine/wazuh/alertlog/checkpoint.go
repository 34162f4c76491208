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

// maxPrefix is how much of the start of a file identifies it, in bytes. The first alert in it has a time and an id, so no
// two files start alike. The number of an inode is not enough: file systems reuse it.
const maxPrefix = 4096

// A Checkpoint says up to where alerts were read. It stays valid when the file is moved or compressed. The zero value is
// the place before all alerts that there are.
type Checkpoint struct {
	// File is the dated name of the file, relative to the directory of alerts.json: 2026/Jan/ossec-alerts-05-001.json;
	// without .gz, and empty for a file that has none.
	File string `json:"file,omitempty"`
	// Inode is the number of the file's inode; 0 if it was read compressed.
	Inode uint64 `json:"inode,omitempty"`
	// PrefixSHA256 is the digest, in hex, of the first PrefixLength bytes of the file; at most 4,096.
	PrefixLength int    `json:"prefix_length"`
	PrefixSHA256 string `json:"prefix_sha256,omitempty"`
	// Offset is the place behind the last line that was read, in uncompressed bytes.
	Offset int64 `json:"offset"`
	// Opened is when the file was opened for reading.
	Opened time.Time `json:"opened,omitzero"`
	// SavedAt is when the checkpoint was taken. [Checkpoint.Save] sets it.
	SavedAt time.Time `json:"saved_at,omitzero"`
}

// LoadCheckpoint reads a checkpoint; false if there is none yet. An error says that the file cannot be read or is broken,
// and what to do.
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

// check returns the first impossible value, as an error.
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

// Save writes the checkpoint. After a power cut the file is complete: the new one or the one before.
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

// untouched reports whether nothing of the file was read yet, so that all of it is still to be read.
func (c Checkpoint) untouched() bool { return c.Offset == 0 }

// vague reports whether only the inode of the file is known, as it was empty.
func (c Checkpoint) vague() bool { return c.PrefixLength == 0 }

// is reports whether an open file is the one of the checkpoint, with all of what was read of it.
func (c Checkpoint) is(s *source) bool {
	// As long as no line was read, the known start may be a part of one, which proves nothing without the inode.
	if c.untouched() && (c.Inode == 0 || c.Inode != s.inode()) || c.vague() && s.size() > 0 {
		return false
	}
	if !s.compressed() && s.size() < c.Offset || len(s.start.bytes) < c.PrefixLength {
		return false
	}
	sum := sha256.Sum256(s.start.bytes[:c.PrefixLength])
	want, err := hex.DecodeString(c.PrefixSHA256)
	return c.vague() || err == nil && bytes.Equal(sum[:], want)
}

// day returns the day of the oldest file that can be the one of the checkpoint; the zero time for all.
func (c Checkpoint) day() time.Time {
	if d, ok := parseDated(c.File); ok {
		return d.day()
	}
	if c.Opened.IsZero() {
		return time.Time{}
	}
	// The file may be older than the time when it was opened, but then Wazuh still wrote to it.
	return c.Opened.AddDate(0, 0, -2)
}
