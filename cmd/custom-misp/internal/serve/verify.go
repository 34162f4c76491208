package serve

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"custom-misp/misp/mirror"
)

const (
	verifyRate  = 8 << 20     // bytes a second, of reading the mirror's files again
	verifyPause = time.Minute // between two rounds
)

// verifyMirror compares the files of the mirror with their checksums, again and again, until ctx ends. Look-ups verify a
// block once, when it is first read.
func verifyMirror(ctx context.Context, m *mirror.Mirror, log *slog.Logger) {
	for waitUnless(ctx, verifyPause, nil) {
		if err := m.Verify(ctx, verifyRate); err != nil && ctx.Err() == nil {
			log.Debug("mirror verified", "error", err.Error()) // what is damaged is logged when it is noticed
		}
	}
}

// damages are the sources of a generation's mirror that are known to be damaged.
type damages struct {
	log *slog.Logger

	mu    sync.Mutex
	since map[string]time.Time     // source → since when
	wake  map[string]chan struct{} // source → to have it synced at once
}

// wakes returns what has a source synced at once.
func (d *damages) wakes(source string) chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.wake == nil {
		d.wake = map[string]chan struct{}{}
	}
	if d.wake[source] == nil {
		d.wake[source] = make(chan struct{}, 1)
	}
	return d.wake[source]
}

// notice logs damage that was not known, and has the source fetched again at once. When that fails, it is tried again as
// usual.
func (d *damages) notice(m *mirror.Mirror) {
	found := m.Damages()
	since := map[string]time.Time{}
	for _, f := range found {
		since[f.Origin] = f.Since
		if known, ok := d.since[f.Origin]; ok && known.Equal(f.Since) {
			continue
		}
		d.log.Error("mirror is damaged; the source is fetched again", "origin", f.Origin, "error", f.Err.Error())
		m.NoteDamage()
		select {
		case d.wakes(f.Origin) <- struct{}{}:
		default: // woken already
		}
	}
	d.since = since // housekeeping alone comes here
}
