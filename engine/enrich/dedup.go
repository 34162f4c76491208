package enrich

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/cespare/xxhash/v2"
)

// Dedup is a [Sink] that sends what was found for a value of an alert once, although the alert may come again: from
// Wazuh's file after a restart, and from integratord as well. It remembers the last 65,536 to 131,072 events that were
// sent, also in two files, "sent" and "sent.1", which are written after sending: a process that is killed in between
// sends the event a second time. Make one with [NewDedup]; another has no sink.
type Dedup struct {
	// Suppressed is called for each event that was sent already; nil for no call.
	Suppressed func()

	sink Sink
	mu   sync.Mutex
	seen [2]map[uint64]bool // this generation and the one before
	file *os.File           // of this generation; nil if it cannot be opened
	dir  string
}

const (
	dedupFile  = "sent"
	dedupPrior = "sent.1"
	// dedupEntries is how many events a generation has; 8 bytes each on disk.
	dedupEntries = 65_536
)

// NewDedup returns a Dedup with what the files in dir remember. Close it.
func NewDedup(sink Sink, dir string) (*Dedup, error) {
	d := &Dedup{sink: sink, dir: dir}
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, fmt.Errorf("record of sent events: %w", err)
	}
	for i, name := range []string{dedupFile, dedupPrior} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("record of sent events: %w", err)
		}
		d.seen[i] = make(map[uint64]bool, len(data)/8)
		for ; len(data) >= 8; data = data[8:] {
			d.seen[i][binary.LittleEndian.Uint64(data)] = true
		}
	}
	return d, d.open()
}

func (d *Dedup) open() error {
	d.file = nil
	f, err := os.OpenFile(filepath.Join(d.dir, dedupFile), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640) //nolint:gosec // as Wazuh has it: for its group
	if err != nil {
		return fmt.Errorf("record of sent events: %w", err)
	}
	if err := trim(f); err != nil {
		return errors.Join(fmt.Errorf("record of sent events: %w", err), f.Close())
	}
	d.file = f
	return nil
}

// trim removes a write that was cut short by a full disk or a kill: it must not shift those that follow.
func trim(f *os.File) error {
	st, err := f.Stat()
	if err != nil || st.Size()%8 == 0 {
		return err
	}
	return f.Truncate(st.Size() - st.Size()%8)
}

// Send implements Sink. Events about errors, and those of alerts without an id, are always sent.
func (d *Dedup) Send(ctx context.Context, e Enrichment) error {
	if e.Body.Observable == nil || e.Body.Source == nil || e.Body.Source.AlertID == "" {
		return sendTo(ctx, d.sink, e)
	}
	key := xxhash.Sum64String(e.Body.Source.AlertID + "\x00" + e.Agent.ID + "\x00" + e.Body.Observable.Type + "\x00" + e.Body.Observable.Value)
	d.mu.Lock()
	defer d.mu.Unlock() // over sending too: of two at once, one is to be sent
	if d.seen[0][key] || d.seen[1][key] {
		if d.Suppressed != nil {
			d.Suppressed()
		}
		return nil
	}
	if err := sendTo(ctx, d.sink, e); err != nil {
		return err
	}
	d.remember(key)
	return nil
}

// remember fails nothing: without the file, an event may come twice after a restart.
func (d *Dedup) remember(key uint64) {
	d.seen[0][key] = true
	if d.file != nil {
		if _, err := d.file.Write(binary.LittleEndian.AppendUint64(nil, key)); err != nil {
			_ = trim(d.file)
		}
	}
	if len(d.seen[0]) < dedupEntries {
		return
	}
	_ = d.file.Close() // nil too
	_ = os.Rename(filepath.Join(d.dir, dedupFile), filepath.Join(d.dir, dedupPrior))
	d.seen[1], d.seen[0] = d.seen[0], map[uint64]bool{}
	_ = d.open()
}

// Close closes the files.
func (d *Dedup) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.file == nil {
		return nil
	}
	return d.file.Close()
}
