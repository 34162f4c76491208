package mirror

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// firstBatch is how long the first events of a feed are read until they can be looked up. Each further batch takes as long
// as all before it, so that writing them costs little, but no longer than longestBatch.
const (
	firstBatch   = 10 * time.Second
	longestBatch = 5 * time.Minute
)

// first reads a feed for the first time. What is read can be looked up before the last event is there, and a sync that
// fails or is killed goes on where it stopped. The latest events come first.
func (r *feedReader) first(ctx context.Context, w *writer, began time.Time, done func(*State)) error {
	todo, outdated, err := compareVersions(w, r.manifest)
	if err != nil {
		return err
	}
	if outdated == nil {
		outdated = map[uuid.UUID]string{}
	}
	for _, id := range todo {
		outdated[identify(id)] = ""
	}
	slices.SortStableFunc(todo, func(a, b string) int { return cmp.Compare(seconds(r.manifest[b]), seconds(r.manifest[a])) })
	events := len(todo)
	for {
		left, err := r.batch(ctx, w, began, outdated, todo, events, done)
		if err != nil || len(left) == 0 {
			return err
		}
		todo = left
	}
}

// batch makes a base of the set, without events that are outdated, and of what of a list of events is read in the time for a
// batch. It returns what is left of the list. done changes the state with the last batch.
func (r *feedReader) batch(ctx context.Context, w *writer, began time.Time, outdated map[uuid.UUID]string, todo []string, events int, done func(*State)) (left []string, err error) {
	start := r.y.now()
	length := min(max(firstBatch, start.Sub(began)), longestBatch)
	var failed error
	last := func(s *State) {
		if len(left) == 0 && failed == nil {
			done(s)
			return
		}
		s.Walk = Walk{Began: began.UTC(), Events: len(r.manifest), Read: len(r.manifest) - len(left), Attributes: s.Attributes}
	}
	err = w.replace(ctx, func(b *builder) error {
		if err := w.copyTo(ctx, b, func(id uuid.UUID) bool { _, is := outdated[id]; return is }); err != nil {
			return err
		}
		left = todo
		add := r.adds(b)
		for len(left) > 0 {
			if err := r.each(ctx, left[:1], add); err != nil {
				if failed = err; len(left) == len(todo) || ctx.Err() != nil {
					return err
				}
				return nil // what was read before counts
			}
			delete(outdated, identify(left[0])) // the next batch keeps it
			left = left[1:]
			if r.y.now().Sub(start) >= length {
				break
			}
		}
		if len(left) == 0 && events == len(r.manifest) {
			return r.nothing(nil, events)
		}
		return nil
	}, last)
	return left, cmp.Or(err, failed)
}

// seconds is the time of an event as a manifest has it; 0 if that is no number.
func seconds(version string) int64 {
	n, _ := strconv.ParseInt(version, 10, 64)
	return n
}
