package enrich

import (
	"context"
	"sync"

	"github.com/cespare/xxhash/v2"
)

// Dedup is a [Sink] that sends what was found for a value of an alert once, although the alert may come again: from
// Wazuh's file after a restart, and from integratord as well. It remembers the last 65,536 to 131,072 events that were
// sent, also on disk: a process that is killed between sending and writing sends the event a second time. Make one with
// [NewDedup]; another has no sink.
type Dedup struct {
	// Suppressed is called for each event that was sent already; nil for no call.
	Suppressed func()

	sink Sink
	mu   sync.Mutex
	seen [2]map[uint64]bool // this generation and the one before
	sent *sentFiles
}

// dedupEntries is how many events a generation has.
const dedupEntries = 65_536

// NewDedup returns a Dedup with what the files in dir remember. Close it. What keeps it from remembering is in
// [Dedup.Trouble]; an error says that it cannot know what was sent before.
func NewDedup(sink Sink, dir string) (*Dedup, error) {
	d := &Dedup{sink: sink}
	var err error
	d.sent, d.seen, err = openSent(dir)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// Trouble returns why some of what was sent before is not known, or what is sent from now on will not be known after a
// restart; nil if neither is so. It wraps [atomicfile.ErrDamaged], [atomicfile.ErrNotState] or an [atomicfile.NewerError] if a
// file is not what this program wrote.
func (d *Dedup) Trouble() error {
	if d.sent == nil {
		return nil
	}
	return d.sent.trouble
}

// Send implements Sink. Events about errors, and those of alerts without an id, are always sent.
func (d *Dedup) Send(ctx context.Context, e Enrichment) error {
	key, ok := sentKey(e)
	if !ok {
		return sendTo(ctx, d.sink, e)
	}
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
	d.seen[0][key] = true
	full := len(d.seen[0]) >= dedupEntries
	d.sent.add(key, full)
	if full {
		d.seen[1], d.seen[0] = d.seen[0], map[uint64]bool{}
	}
	return nil
}

// sentKey tells a value of an alert from all others; false for an event that is always sent.
func sentKey(e Enrichment) (uint64, bool) {
	if e.Body.Observable == nil || e.Body.Source == nil || e.Body.Source.AlertID == "" {
		return 0, false
	}
	s := e.Body.Source
	key := s.AlertID + "\x00" + e.Agent.ID + "\x00" + e.Body.Observable.Type + "\x00" + e.Body.Observable.Value
	if s.RuleID == "" && s.Timestamp+s.Location != "" { // an event of archives.json, which has the id of an alert before it
		key += "\x00" + s.Timestamp + "\x00" + s.Location
	}
	if e.Late != "" {
		key += "\x00" + e.Late
	}
	return xxhash.Sum64String(key), true
}

// Sent reports whether an event was sent, as far as that is remembered.
func (d *Dedup) Sent(e Enrichment) bool {
	key, ok := sentKey(e)
	d.mu.Lock()
	defer d.mu.Unlock()
	return ok && (d.seen[0][key] || d.seen[1][key])
}

// Close writes what is not written yet, and closes the files.
func (d *Dedup) Close() error {
	if d.sent == nil {
		return nil
	}
	return d.sent.close()
}
