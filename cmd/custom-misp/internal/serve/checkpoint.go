package serve

import (
	"log/slog"
	"sync"
	"time"

	"github.com/tidwall/gjson"

	"custom-misp/engine/wazuh/alertlog"
)

// A checkpointFile keeps the place up to which all alerts are done, and saves it now and then.
type checkpointFile struct {
	name    string
	log     *slog.Logger
	mu      sync.Mutex
	last    alertlog.Checkpoint
	alert   []byte // the last one before it
	dirty   bool   // last is not saved yet
	savedAt time.Time
	onDisk  bool // one was saved by this process
}

func (c *checkpointFile) put(p alertlog.Checkpoint, lines [][]byte) {
	c.mu.Lock()
	c.last, c.dirty = p, true
	if len(lines) > 0 {
		c.alert = lines[len(lines)-1]
	}
	due := time.Since(c.savedAt) >= saveEvery
	c.mu.Unlock()
	if due {
		c.save()
	}
}

// save is flush where an error can only be logged.
func (c *checkpointFile) save() {
	if err := c.flush(); err != nil {
		c.log.Error("checkpoint not written; after a restart alerts are read again", "error", err.Error())
	}
}

func (c *checkpointFile) get() alertlog.Checkpoint {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

func (c *checkpointFile) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.dirty {
		return nil
	}
	c.savedAt = time.Now()
	c.last.SavedAt = c.savedAt.UTC()
	if err := c.last.Save(c.name); err != nil {
		return err
	}
	c.dirty, c.onDisk = false, true
	return nil
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
