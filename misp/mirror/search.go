package mirror

import (
	"context"
	"fmt"
	"strings"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
)

// A search is one look-up, in the set of one source after the other. What it reads is bounded by work: the bytes of records, and for each
// attribute and each of its tags a constant.
type search struct {
	ctx         context.Context
	set         *set
	source      int
	observables []engine.Observable
	found       enrich.Answer
	unread      faults
	left        int      // of the work
	waiting     []wanted // indicators of which more is to be read
	events      largeEvents
	room        [8]engine.Relation // of one observable after the other; more than nearly all need
}

// A wanted is an indicator that is read for a finding.
type wanted struct {
	number   int // of an observable
	finding  *enrich.Finding
	relation engine.Relation
	literal  engine.Indicator
	done     int // attributes
}

const (
	attributeWork = 256 // beside the bytes of its record
	tagWork       = 64  // a tag is compared with the filter
)

// run reads what there is of each observable. If all of it would be too much work, each gets a share.
func (s *search) run() error {
	share := s.left / max(1, len(s.observables))
	around, old := s.set.snapshot.around, s.set.snapshot.hasOtherForms()
	for number := range s.observables {
		o := &s.observables[number]
		for i, relation := range o.AppendRelated(s.room[:0], around) {
			r := wanted{number: number, relation: relation, literal: relation.Indicator}
			if i == 0 && old {
				r.literal = o.Literal()
			}
			if _, known := s.found.Shared(number, s.key(r)); known {
				continue
			}
			if s.read(&r, share) {
				s.waiting = append(s.waiting, r)
			}
		}
		if err := s.over(number); err != nil {
			return err
		}
	}
	return s.readOn()
}

// readOn reads more of indicators that had more than their share.
func (s *search) readOn() error {
	for len(s.waiting) > 0 && s.left > 0 {
		share := s.left / len(s.waiting)
		if share < attributeWork {
			break
		}
		var waiting []wanted
		for _, r := range s.waiting {
			if s.read(&r, share) {
				waiting = append(waiting, r)
			}
			if err := s.over(r.number); err != nil {
				return err
			}
		}
		s.waiting = waiting
	}
	for _, r := range s.waiting {
		if r.finding == nil {
			r.finding = s.found.Finding(r.number, s.key(r))
		}
		r.finding.More()
	}
	return nil
}

func (s *search) key(r wanted) enrich.Key {
	return enrich.Key{Relation: r.relation, Literal: r.literal, Source: s.source}
}

// read reads attributes until a share of the work is done, one at least, and reports whether there may be more.
func (s *search) read(r *wanted, share int) (more bool) {
	before := s.left
	n := 0
	for a, err := range s.set.snapshot.findFrom(s.ctx, r.relation.Indicator, r.literal, r.done, &s.events) {
		n++
		if err != nil {
			s.unread.add(s.set, err)
			continue
		}
		if a.passed {
			s.left -= attributeWork
		} else {
			if r.finding == nil {
				r.finding = s.found.Finding(r.number, s.key(*r))
			}
			s.left -= a.bytes + attributeWork + tagWork*len(a.attribute.Tags)
			a.attribute.Origin = s.set.name
			s.found.Add(r.finding, &a.attribute)
		}
		if before-s.left >= share {
			r.done += n
			return true
		}
	}
	if r.finding != nil && r.done+n >= maxRead {
		r.finding.More()
	}
	return false
}

// over returns an error if the time is over.
func (s *search) over(number int) error {
	err := s.ctx.Err()
	if err == nil {
		return nil
	}
	o := s.observables[number]
	return &enrich.Trouble{
		Code: enrich.CodeMirror, Err: fmt.Errorf("the mirror has more of %s %q than could be read in time: %w", o.Type, shown(o.Value), err),
		Remedy: "timeout sets how long is looked", Answered: true,
	}
}

// shown is the beginning of a value, for messages.
func shown(value string) string {
	const longest = 100
	if len(value) <= longest {
		return value
	}
	return strings.ToValidUTF8(value[:longest], "") + "…"
}

// largeEvents remembers the events of a look-up that a segment does not, since their records are long.
type largeEvents struct {
	of    map[eventKey]event
	bytes int
}

type eventKey struct {
	in *segment
	at uint64
}

// read returns the event at a place, and the bytes that were read for it.
func (l *largeEvents) read(s *segment, at uint64) (e event, bytes int, err error) {
	if e, ok := l.of[eventKey{s, at}]; ok {
		return e, 0, nil
	}
	e, bytes, err = s.readEvent(at)
	if err != nil || bytes <= maxRecent {
		return e, bytes, err
	}
	if l.bytes += bytes; l.of == nil || l.bytes > maxLargeEvents {
		l.of, l.bytes = map[eventKey]event{}, bytes
	}
	l.of[eventKey{s, at}] = e
	return e, bytes, nil
}
