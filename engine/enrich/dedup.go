package enrich

import (
	"context"
	"slices"
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
	keys, ok := sentKeysOf(e)
	if !ok {
		return sendTo(ctx, d.sink, e)
	}
	d.mu.Lock()
	defer d.mu.Unlock() // over sending too: of two at once, one is to be sent
	if d.seenAll(keys) {
		if d.Suppressed != nil {
			d.Suppressed()
		}
		return nil
	}
	if err := sendTo(ctx, d.sink, e); err != nil {
		return err
	}
	for _, key := range keys.all() {
		d.remember(key)
	}
	return nil
}

// remember remembers a key. The caller holds mu.
func (d *Dedup) remember(key uint64) {
	if d.seen[0][key] || d.seen[1][key] {
		return
	}
	d.seen[0][key] = true
	full := len(d.seen[0]) >= dedupEntries
	d.sent.add(key, full)
	if full {
		d.seen[1], d.seen[0] = d.seen[0], map[uint64]bool{}
	}
}

// sentKeys tell an event from all others. With several MISP servers, an alert that was killed on its way may be looked up in all of
// them again, while an entry of the spool asks the one that was down: so each server whose knowledge an event is has a key as well.
type sentKeys struct {
	value   uint64   // of the value of the alert; 0 for an event about one server that was asked late
	servers []uint64 // nil where there is one server
}

func (k sentKeys) all() []uint64 {
	if k.value == 0 {
		return k.servers
	}
	return append([]uint64{k.value}, k.servers...)
}

// seenAll reports whether an event was sent: for its value, or for all whose knowledge it is. The caller holds mu.
func (d *Dedup) seenAll(k sentKeys) bool {
	seen := func(key uint64) bool { return d.seen[0][key] || d.seen[1][key] }
	if k.value != 0 && seen(k.value) {
		return true
	}
	return len(k.servers) > 0 && !slices.ContainsFunc(k.servers, func(key uint64) bool { return !seen(key) })
}

// sentKeysOf returns the keys of an event; false for one that is always sent.
func sentKeysOf(e Enrichment) (k sentKeys, ok bool) {
	if e.Body.Observable == nil || e.Body.Source == nil || e.Body.Source.AlertID == "" {
		return k, false
	}
	s := e.Body.Source
	value := s.AlertID + "\x00" + e.Agent.ID + "\x00" + e.Body.Observable.Type + "\x00" + e.Body.Observable.Value
	if s.RuleID == "" && s.Timestamp+s.Location != "" { // an event of archives.json, which has the id of an alert before it
		value += "\x00" + s.Timestamp + "\x00" + s.Location
	}
	servers := e.Body.Origins
	if e.Late != "" {
		servers = []string{e.Late}
	} else {
		k.value = xxhash.Sum64String(value)
	}
	for _, name := range servers {
		k.servers = append(k.servers, xxhash.Sum64String(value+"\x00"+name))
	}
	return k, true
}

// Sent reports whether an event was sent, as far as that is remembered.
func (d *Dedup) Sent(e Enrichment) bool {
	keys, ok := sentKeysOf(e)
	d.mu.Lock()
	defer d.mu.Unlock()
	return ok && d.seenAll(keys)
}

// Close writes what is not written yet, and closes the files.
func (d *Dedup) Close() error {
	if d.sent == nil {
		return nil
	}
	return d.sent.close()
}
