package alertlog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
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
	// SavedAt is when the checkpoint was taken: all that Wazuh wrote later is behind it. [Checkpoint.Save] sets it if it is
	// zero.
	SavedAt time.Time `json:"saved_at,omitzero"`
	// Alerts is set for archives.json by an [ArchiveFollower]: a place in alerts.json before the alerts of all events behind
	// this one. Its own Alerts is nil.
	Alerts *Checkpoint `json:"alerts,omitempty"`
}

const (
	checkpointVersion = 1
	maxCheckpoint     = 64 << 10 // bytes
)

// LoadCheckpoint reads a checkpoint; false if there is none yet. An error says that the file cannot be read, and what to do. It
// wraps [atomicfile.ErrDamaged] or [atomicfile.ErrNotState] if what is there is no checkpoint; it is an
// [atomicfile.NewerError] if a later program wrote it.
func LoadCheckpoint(name string) (Checkpoint, bool, error) {
	var c Checkpoint
	err := atomicfile.ReadJSON(name, checkpointVersion, maxCheckpoint, &c)
	if err == nil {
		if why := c.check(); why != nil {
			err = fmt.Errorf("%s is %w: %w", name, atomicfile.ErrDamaged, why)
		}
	}
	switch {
	case err == nil:
		return c, true, nil
	case errors.Is(err, fs.ErrNotExist):
		return Checkpoint{}, false, nil
	case errors.Is(err, atomicfile.ErrDamaged), errors.Is(err, atomicfile.ErrNotState):
		return Checkpoint{}, false, fmt.Errorf("checkpoint: %w; serve moves it aside and reads again what may be new", err)
	}
	if _, ok := errors.AsType[*atomicfile.NewerError](err); ok {
		return Checkpoint{}, false, fmt.Errorf("checkpoint: %w; without it, serve starts at the end of alerts.json", err)
	}
	return Checkpoint{}, false, fmt.Errorf("checkpoint: %w; %s", err, "make it readable for the user that this program runs as")
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
	case c.Alerts == nil:
		return nil
	case c.Alerts.Alerts != nil:
		return errors.New("alerts within alerts")
	}
	if err := c.Alerts.check(); err != nil {
		return fmt.Errorf("alerts: %w", err)
	}
	return nil
}

// Save writes the checkpoint. After a power cut the file is complete: the new one or the one before.
func (c Checkpoint) Save(name string) error {
	if c.SavedAt.IsZero() {
		c.SavedAt = time.Now().UTC()
	}
	if err := atomicfile.WriteJSON(name, checkpointVersion, c, atomicfile.Durable); err != nil {
		return fmt.Errorf("checkpoint: %w; make %s writable for the user that this program runs as, on a disk with space", err, filepath.Dir(name))
	}
	return nil
}

// Since returns the place before all alerts that Wazuh wrote after a time, for when the true checkpoint is lost: the start of
// the oldest file that was changed since, so that many older alerts may come again. path is where alerts.json is.
func Since(path string, t time.Time) (Checkpoint, error) {
	c := Checkpoint{Opened: t.UTC(), SavedAt: t.UTC()}
	all, err := listDated(filepath.Dir(path), time.Time{})
	if err != nil {
		return c, err
	}
	for _, g := range all {
		if !g.empty() && (g.plain != nil && g.plain.ModTime().After(t) || g.compressed != nil && g.compressed.ModTime().After(t)) {
			c.File = g.file
			break
		}
	}
	return c, nil
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
