package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"

	"custom-misp/engine/enrich"
	"custom-misp/misp"
	"custom-misp/misp/api"
)

// walkRounds is how often the list of events is asked for at most during a walk: to find what was changed meanwhile, and
// what was changed while that was read. What is left then is found by the next reconciliation.
const walkRounds = 3

// walk makes a new base of all that MISP has. What is read is kept in a file, so that a walk that fails or is killed goes
// on where it stopped; the set stays as it is until then.
func (s *Server) walk(ctx context.Context, w *writer, y *Syncer, full bool) error {
	began := y.now()
	if wait := w.state.Walk.NotBefore; began.Before(wait) && !full {
		return fmt.Errorf("the walk over MISP goes on after %s, when the rate limit of the role of the key's user ends: %d of %d events are read", wait.UTC().Format(time.RFC3339), w.state.Walk.Read, w.state.Walk.Events)
	}
	_, where := s.describe()
	log, err := openWalkLog(filepath.Join(w.dir, walkFile), walkHeader{Place: where, Warninglists: s.Warninglists, Sightings: s.Sightings, Full: full, Began: began.UTC()}, y.now)
	if err != nil {
		return err
	}
	defer log.close()
	k := &walker{reader: newReader(s, y), log: log, confirmed: map[uuid.UUID]bool{}}
	err = k.rounds(ctx)
	w.state.Walk = log.progress()
	if err != nil {
		if t, ok := errors.AsType[*enrich.Trouble](err); ok && t.Code == enrich.CodeRateLimited {
			w.state.Walk.NotBefore = began.Add(t.Wait).UTC()
		}
		return err
	}
	err = w.replace(ctx, log.fill, y.done(began, func(st *State) {
		st.FullAt, st.Reconciled, st.Walk, st.Recent = log.header.Began, began.UTC(), Walk{}, nil
		st.Watermark = watermark(k.clock, began)
	}))
	if err != nil {
		return err
	}
	return log.remove()
}

// A walker reads all events into a log.
type walker struct {
	reader
	log       *walkLog
	clock     time.Time          // MISP's, when the last list was asked for
	confirmed map[uuid.UUID]bool // events that the short list leaves out, and that were read since
}

// rounds reads what the log lacks: first all that MISP lists, then what was changed meanwhile.
func (k *walker) rounds(ctx context.Context) error {
	if !k.log.listed {
		list, clock, err := k.server.Client.Events(ctx, api.EventList{Counted: true})
		if err != nil {
			return err
		}
		if err := k.log.setList(list, clock); err != nil {
			return err
		}
	}
	k.clock = k.log.clock
	todo := k.log.unread()
	for round := 1; ; round++ {
		if err := k.read(ctx, todo, k.log.begin, k.log.append); err != nil {
			return err
		}
		if round > walkRounds {
			return nil
		}
		list, clock, err := k.server.Client.Events(ctx, api.EventList{})
		if err != nil {
			return err
		}
		k.clock = clock
		if todo = k.moved(list, clock); len(todo) == 0 {
			return nil
		}
	}
}

// moved returns the events that are not in the log as they are in the list, and those of the log that are not in the list
// and were not read since.
func (k *walker) moved(list []api.IndexedEvent, clock time.Time) (todo []target) {
	listed := make(map[uuid.UUID]bool, len(list))
	for _, e := range list {
		id := identify(e.UUID)
		listed[id] = true
		in, ok := k.log.events[id]
		if ok && in.complete && in.ID == e.ID && in.Timestamp == e.Timestamp {
			in.Published = e.Published
			continue
		}
		t := target{IndexedEvent: e, Version: versionOf(e, clock), Size: guessedSize}
		if ok {
			t.Size = max(guessedSize, in.rows)
		}
		todo = append(todo, t)
	}
	for id, in := range k.log.events {
		if !listed[id] && !k.confirmed[id] && in.rows > 0 {
			k.confirmed[id] = true
			t := in.target
			t.Size, t.Gone, t.Version = in.rows, true, ""
			todo = append(todo, t)
		}
	}
	slices.SortFunc(todo, func(a, b target) int { return cmp.Compare(a.ID, b.ID) })
	return todo
}

// fill puts what was read into a base.
func (l *walkLog) fill(b *builder) error {
	for chunk, err := range l.chunks() {
		if err != nil {
			return err
		}
		if err := l.fillEmpty(b, chunk); err != nil {
			return err
		}
		for _, a := range chunk.attributes {
			in := l.current(a.Event.UUID, chunk)
			if in == nil {
				continue // read again later
			}
			if !in.Gone {
				a.Event.Published = in.Published
			}
			e := event{Event: a.Event, uuid: identify(a.Event.UUID), version: in.Version}
			if _, err := b.addEvent(e); err != nil { // also if none of its attributes is compared
				return err
			}
			if err := b.add(identify(a.UUID), a, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// fillEmpty puts the events in that are listed and have no attribute that is visible: they need not be read again.
func (l *walkLog) fillEmpty(b *builder, chunk walkChunk) error {
	for _, t := range chunk.Events {
		in := l.current(t.UUID, chunk)
		if in == nil || in.rows > 0 || t.Gone || t.Attributes == 0 {
			continue
		}
		e := misp.Event{ID: t.ID, UUID: t.UUID, Published: in.Published}
		if _, err := b.addEvent(event{Event: e, uuid: identify(t.UUID), version: in.Version}); err != nil {
			return err
		}
	}
	return nil
}

// current returns what the log has of an event, if a chunk is of its last reading; else nil.
func (l *walkLog) current(event string, c walkChunk) *walkEvent {
	if in := l.events[identify(event)]; in != nil && in.reading == c.Reading {
		return in
	}
	return nil
}
