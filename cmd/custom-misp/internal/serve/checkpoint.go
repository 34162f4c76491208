package serve

import (
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/tidwall/gjson"

	"custom-misp/engine/atomicfile"
	"custom-misp/engine/wazuh/alertlog"
)

const (
	saveEvery     = time.Second // the checkpoint, at most
	saveCopyEvery = time.Minute // its copy
	// lostLag is how far behind serve may have been when a checkpoint was saved that is lost with its copy.
	lostLag = 24 * time.Hour
)

// A checkpointFile keeps the place up to which all alerts are done, and saves it now and then, while alerts go on. An older
// copy is for when the file is damaged.
type checkpointFile struct {
	name, copy string
	before     func() error // what has to be on disk before the checkpoint; nil for nothing
	log        *slog.Logger
	saving     atomicfile.Background
	disk       sync.Mutex // held while it is saved
	copiedAt   time.Time  // the holder of disk has it

	mu      sync.Mutex
	last    alertlog.Checkpoint
	alert   []byte    // the last one before it
	dirty   bool      // last is not saved yet
	savedAt time.Time // when the last try to save it had ended; never before, or a slow disk would be kept busy
	onDisk  bool      // one was saved by this process
}

func (c *checkpointFile) put(p alertlog.Checkpoint, lines [][]byte) {
	c.mu.Lock()
	c.last, c.dirty = p, true
	if len(lines) > 0 {
		c.alert = lines[len(lines)-1]
	}
	c.mu.Unlock()
	c.saveIfDue()
}

// saveIfDue saves in the background what is not saved yet, unless it was saved a moment ago.
func (c *checkpointFile) saveIfDue() {
	if c.due() {
		c.saving.Run(func() {
			if !c.due() { // saved since
				return
			}
			if err := c.flush(); err != nil {
				c.failed(err)
			}
		})
	}
}

func (c *checkpointFile) failed(err error) {
	c.log.Error("checkpoint not written; after a restart alerts are read again", "error", err.Error())
}

func (c *checkpointFile) due() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dirty && time.Since(c.savedAt) >= saveEvery
}

func (c *checkpointFile) get() alertlog.Checkpoint {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// flush saves what is not saved yet, and waits for it.
func (c *checkpointFile) flush() error {
	c.disk.Lock()
	defer c.disk.Unlock()
	var err error
	if c.before != nil {
		err = c.before()
	}
	c.mu.Lock()
	last, dirty := c.last, c.dirty
	c.dirty = false
	c.mu.Unlock()
	if !dirty {
		return nil
	}
	if err == nil {
		err = last.Save(c.name)
	}
	if err == nil && time.Since(c.copiedAt) >= saveCopyEvery {
		if err = last.Save(c.copy); err == nil {
			c.copiedAt = time.Now()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.savedAt = time.Now()
	c.dirty = c.dirty || err != nil
	c.onDisk = c.onDisk || err == nil
	return err
}

// saved reports whether this process has saved one: whoever takes its place begins there or behind it.
func (c *checkpointFile) saved() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.onDisk
}

// age returns how old the last alert that is done is, in seconds.
func (c *checkpointFile) age(now time.Time) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, err := time.Parse("2006-01-02T15:04:05.999-0700", gjson.GetBytes(c.alert, "timestamp").String())
	if err != nil {
		return 0
	}
	return max(0, now.Sub(at).Seconds())
}

// load returns where to go on; nil if serve has never run here. A damaged checkpoint is moved aside and reported, and what may
// be new since is read again: from the copy, or else from the start of the oldest file that can hold new alerts. What was
// sent is not sent again, as far as the record of sent events goes back.
func (c *checkpointFile) load(alerts string) (from *alertlog.Checkpoint, damage error, err error) {
	at, found, err := alertlog.LoadCheckpoint(c.name)
	switch {
	case err == nil && found:
		return &at, nil, nil
	case err == nil:
		return nil, nil, nil
	case !isDamaged(err):
		return nil, nil, err
	}
	damage = err
	saved := changed(c.name, time.Now())
	how := "its copy of %s"
	at, found, err = alertlog.LoadCheckpoint(c.copy)
	if err != nil || !found {
		// Who emptied the file also made it younger, so the older of both counts.
		at, err = alertlog.Since(alerts, changed(c.copy, saved).Add(-lostLag))
		how = "the oldest file that was changed since %s"
	}
	if err != nil {
		return nil, nil, err
	}
	aside := atomicfile.KeepDamaged(c.name)
	return &at, fmt.Errorf("%w: alerts are read again from "+how+"; what was damaged is now %s", damage, at.SavedAt.Format(time.RFC3339), aside), nil
}

// changed returns when a file was changed last; otherwise if that is not known, or later.
func changed(name string, otherwise time.Time) time.Time {
	st, err := os.Lstat(name)
	if err != nil || st.ModTime().After(otherwise) {
		return otherwise
	}
	return st.ModTime()
}
