package mirror

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/google/uuid"

	"custom-misp/engine/atomicfile"
	"custom-misp/misp"
	"custom-misp/misp/api"
	"custom-misp/misp/feed"
)

// Feed is a feed in MISP format as a source: a directory or an address with manifest.json and a file for each event.
// Only events whose time in the manifest has changed are read again, and the manifest itself only if the server says
// that it has changed.
type Feed struct{ located }

// NewFeed returns the feed at a path or URL.
func NewFeed(name, at, userAgent string) *Feed {
	return NewFeedAt(name, Access{Place: at, UserAgent: userAgent})
}

// NewFeedAt returns the feed that is asked for in a way of its own.
func NewFeedAt(name string, a Access) *Feed { return &Feed{located{name, a.place()}} }

func (f *Feed) describe() (Kind, string) { return KindFeed, f.from.shown() }

const manifestFile = "manifest.json"

func (f *Feed) sync(ctx context.Context, w *writer, y *Syncer, full bool) error {
	began := y.now()
	begun := !full && w.set != nil && w.state.Walk.Events > 0 // a first copy that is not complete
	have := validators{}
	if !full && w.set != nil && w.state.Failure == "" && !begun {
		have = w.state.validators()
	}
	data, got, partial, err := f.readManifest(ctx, have)
	if errors.Is(err, errSame) {
		return w.keep(y.done(began, func(*State) {}))
	}
	if err != nil {
		return err
	}
	manifest, err := feed.ParseManifest(data)
	if err != nil {
		return fmt.Errorf("%s: %w", f.from.shown(), err)
	}
	r := &feedReader{feed: f, y: y, manifest: manifest}
	whole := full
	done := y.done(began, func(s *State) {
		s.setValidators(got)
		s.Partial, s.Walk = partial, Walk{}
		if whole {
			s.FullAt = began.UTC()
		}
		if r.broken > 0 {
			s.FailedAt, s.Failure = began.UTC(), fmt.Sprintf("%d of %d events not read, the first: %v", r.broken, len(manifest), r.firstBad)
		}
	})
	if w.set == nil || begun {
		whole = true
		return r.first(ctx, w, began, done)
	}
	if !full {
		if applied, err := r.changes(ctx, w, done); applied || err != nil {
			return err
		}
		*r = feedReader{feed: f, y: y, manifest: manifest}
	}
	whole = true
	return w.replace(ctx, func(b *builder) error { return r.all(ctx, b) }, done)
}

// readManifest reads the manifest of a feed, or makes one of a directory that has none; partial says so then.
func (f *Feed) readManifest(ctx context.Context, have validators) (data []byte, got validators, partial string, err error) {
	data, got, err = f.from.read(ctx, manifestFile, have, f.from.max.manifest)
	if f.from.http == nil && errors.Is(err, os.ErrNotExist) {
		if listed, lerr := f.from.listEvents(); lerr == nil && len(listed) > 0 {
			return listed, got, noManifest, nil
		}
	}
	return data, got, "", err
}

// noManifest is the note on a directory that has events and no manifest.
const noManifest = "no manifest.json: every UUID.json in the directory is read, by its size and time"

// listEvents makes a manifest of the events in a directory that has none.
func (p place) listEvents() ([]byte, error) {
	files, err := atomicfile.ReadDir(p.at)
	if err != nil {
		return nil, err
	}
	manifest := map[string]map[string]string{}
	for _, f := range files {
		id, ok := strings.CutSuffix(f.Name(), ".json")
		if _, err := uuid.Parse(id); err != nil || !ok {
			continue
		}
		if st, err := f.Info(); err == nil {
			manifest[id] = map[string]string{"timestamp": fmt.Sprintf("%d-%d", st.Size(), st.ModTime().UnixNano())}
		}
	}
	if len(manifest) == 0 {
		return nil, nil
	}
	return json.Marshal(manifest)
}

// compareVersions returns which events of a manifest are new or have another version, and which events of the set are no longer
// in the manifest.
func compareVersions(w *writer, manifest map[string]string) (changed []string, gone map[uuid.UUID]string, err error) {
	if gone, err = w.versions(); err != nil {
		return nil, nil, err
	}
	for _, id := range slices.Sorted(maps.Keys(manifest)) {
		if version, have := gone[identify(id)]; !have || version == "" || version != manifest[id] {
			changed = append(changed, id)
		}
		delete(gone, identify(id))
	}
	return changed, gone, nil
}

func (f *Feed) tooMany() error {
	return f.from.trouble("", fmt.Errorf("more than %d attributes", f.from.max.attributes), "mirror a smaller feed, or have its owner split it")
}

// feedReader reads events. One that is absent or broken is left out, and reported in the state: a feed that lacks a
// file is still useful.
type feedReader struct {
	feed     *Feed
	y        *Syncer
	manifest map[string]string
	read     int64 // bytes of events
	done     int   // events that were read
	broken   int
	firstBad error
}

// changes reads the events that have changed, and applies them. If they are too many, it applies nothing.
func (r *feedReader) changes(ctx context.Context, w *writer, done func(*State)) (applied bool, err error) {
	changed, gone, err := compareVersions(w, r.manifest)
	if err != nil || len(changed) > len(r.manifest)/2 {
		return false, err
	}
	c := changesOf(w.set)
	c.most = w.mostChanges
	for id := range gone {
		c.RemoveEvent(id)
	}
	switch err := r.each(ctx, changed, c.ReplaceEvent); {
	case errors.Is(err, errManyChanges):
		r.y.log().Info("feed is read as a whole", "origin", r.feed.name, "because", err.Error())
		return false, nil
	case err != nil:
		if r.done == 0 || ctx.Err() != nil {
			return false, err
		}
		// What was read need not be read again: a rate limit may not let all be read at once.
		return false, errors.Join(err, w.apply(ctx, c, func(*State) {}))
	}
	if n, _ := c.total(); n > r.feed.from.max.attributes {
		return false, r.feed.tooMany()
	}
	return true, w.apply(ctx, c, done)
}

func (r *feedReader) all(ctx context.Context, b *builder) error {
	return r.nothing(r.each(ctx, slices.Sorted(maps.Keys(r.manifest)), r.adds(b)), len(r.manifest))
}

// adds returns what puts an event into a base.
func (r *feedReader) adds(b *builder) eachEvent {
	return func(e misp.Event, version string, attributes iter.Seq[misp.Attribute]) error {
		if _, err := b.addEvent(event{Event: e, uuid: identify(e.UUID), version: version}); err != nil {
			return err
		}
		for a := range attributes {
			if b.trailer.Attributes >= r.feed.from.max.attributes {
				return r.feed.tooMany()
			}
			if err := b.Add(a, version); err != nil {
				return err
			}
		}
		return nil
	}
}

// nothing returns an error for events none of which could be read.
func (r *feedReader) nothing(err error, events int) error {
	if err == nil && r.broken > 0 && r.broken == events {
		return fmt.Errorf("none of its %d events can be read, the first: %w", events, r.firstBad)
	}
	return err
}

// eachEvent is what is done with each event.
type eachEvent func(e misp.Event, version string, attributes iter.Seq[misp.Attribute]) error

func (r *feedReader) each(ctx context.Context, ids []string, do eachEvent) error {
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return err
		}
		e, attributes, err := r.event(ctx, id)
		if err != nil {
			if _, passes := errors.AsType[errBroken](err); !passes {
				return err
			}
			if r.broken++; r.firstBad == nil {
				r.firstBad = err
			}
			continue
		}
		// Without an error, attributes may be less than all of them if the context is done.
		if err := cmp.Or(do(e, r.manifest[id], attributes), ctx.Err()); err != nil {
			return err
		}
		r.done++
	}
	return nil
}

// errBroken is an event that cannot be read; trying again does not help.
type errBroken struct{ error }

// Unwrap returns what is wrong with it.
func (e errBroken) Unwrap() error { return e.error }

func (r *feedReader) event(ctx context.Context, id string) (misp.Event, iter.Seq[misp.Attribute], error) {
	name, from := id+".json", r.feed.from
	data, _, err := from.read(ctx, name, validators{}, from.max.event)
	_, absent := errors.AsType[errAbsent](err)
	_, answered := errors.AsType[errAnswered](err)
	switch {
	case absent || answered || errors.Is(err, errLong):
		return misp.Event{}, nil, errBroken{err}
	case err != nil:
		return misp.Event{}, nil, err
	}
	if r.read += int64(len(data)); r.read > from.max.feed {
		return misp.Event{}, nil, from.trouble("", fmt.Errorf("%w: its events have more than %d bytes", errLong, from.max.feed), "mirror a smaller feed, or have its owner split it")
	}
	e, attributes, err := api.DecodeEvent(ctx, data)
	if ctx.Err() != nil {
		return misp.Event{}, nil, ctx.Err()
	}
	if err != nil {
		return misp.Event{}, nil, errBroken{from.trouble(name, err, "report it to the owner of the feed")}
	}
	e.UUID = id // as the manifest has it
	if e.ID == "" || strings.EqualFold(e.ID, id) {
		e.ID = id
	}
	return e, func(yield func(misp.Attribute) bool) {
		for a := range attributes {
			if a.UUID == "" {
				a.UUID = identify(strings.Join([]string{id, a.Type, a.Value}, "\x00")).String()
			}
			a.Event.ID, a.Event.UUID = e.ID, e.UUID
			if !yield(a) {
				return
			}
		}
	}, nil
}
