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

// Once is a [Sink] that sends what was found for a value of an alert once, although the alert may come again: from
// Wazuh's file after a restart, and from integratord besides. It remembers the last tens of thousands of events that
// were sent, in a file too, which is written after sending: a process that is killed in between sends the event a
// second time.
type Once struct {
	// Suppressed is called for each event that was sent already; nil for nobody.
	Suppressed func()

	sink Sink
	mu   sync.Mutex
	seen [2]map[uint64]bool // this generation and the one before
	file *os.File           // of this generation
	dir  string
}

const (
	onceFile  = "sent"
	oncePrior = "sent.1"
	// onceEntries is how many events a generation has; 8 bytes each on disk.
	onceEntries = 65_536
)

// NewOnce returns a Once with what the file in dir remembers.
func NewOnce(sink Sink, dir string) (*Once, error) {
	o := &Once{sink: sink, dir: dir}
	if err := os.MkdirAll(dir, spoolMode); err != nil {
		return nil, fmt.Errorf("memory of sent events: %w", err)
	}
	for i, name := range []string{onceFile, oncePrior} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("memory of sent events: %w", err)
		}
		o.seen[i] = make(map[uint64]bool, len(data)/8)
		for ; len(data) >= 8; data = data[8:] {
			o.seen[i][binary.LittleEndian.Uint64(data)] = true
		}
	}
	return o, o.open()
}

func (o *Once) open() error {
	f, err := os.OpenFile(filepath.Join(o.dir, onceFile), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640) //nolint:gosec // as Wazuh has it: for its group
	if err != nil {
		return fmt.Errorf("memory of sent events: %w", err)
	}
	if err := trim(f); err != nil {
		return errors.Join(fmt.Errorf("memory of sent events: %w", err), f.Close())
	}
	o.file = f
	return nil
}

// trim takes a write back that was cut short by a full disk or a kill: it must not shift those that follow.
func trim(f *os.File) error {
	st, err := f.Stat()
	if err != nil || st.Size()%8 == 0 {
		return err
	}
	return f.Truncate(st.Size() - st.Size()%8)
}

// Send implements Sink. Events about errors, and those of alerts without an id, are always sent.
func (o *Once) Send(ctx context.Context, e Enrichment) error {
	if e.Body.Observable == nil || e.Body.Source == nil || e.Body.Source.AlertID == "" {
		return o.sink.Send(ctx, e)
	}
	key := xxhash.Sum64String(e.Body.Source.AlertID + "\x00" + e.Agent.ID + "\x00" + e.Body.Observable.Type + "\x00" + e.Body.Observable.Value)
	o.mu.Lock()
	defer o.mu.Unlock() // over sending too: of two at once, one is to be sent
	if o.seen[0][key] || o.seen[1][key] {
		if o.Suppressed != nil {
			o.Suppressed()
		}
		return nil
	}
	if err := o.sink.Send(ctx, e); err != nil {
		return err
	}
	o.remember(key)
	return nil
}

// remember fails nothing: without the file, an event may come twice after a restart.
func (o *Once) remember(key uint64) {
	o.seen[0][key] = true
	if _, err := o.file.Write(binary.LittleEndian.AppendUint64(nil, key)); err != nil {
		_ = trim(o.file)
	}
	if len(o.seen[0]) < onceEntries {
		return
	}
	_ = o.file.Close()
	_ = os.Rename(filepath.Join(o.dir, onceFile), filepath.Join(o.dir, oncePrior))
	o.seen[1], o.seen[0] = o.seen[0], map[uint64]bool{}
	_ = o.open()
}

// Close closes the file.
func (o *Once) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.file.Close()
}
