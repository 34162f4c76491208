package engine

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// This file takes the values of one pick at one place of an alert: candidates become values in normal form, are judged, and
// added to what was found.

// A taker takes the values of one pick after the other. A run has one.
type taker struct {
	*run
	taking
	walker  walker
	scanner scanner
}

// A taking is a pick and the place of the alert that it takes from.
type taking struct {
	m       *mapping
	p       *pick
	number  int          // of the pick in the mapping
	at      *namedMember // of a pick by name; nil at a path
	place   string       // path of the member, once it is known
	note    noter
	count   int    // of candidates
	encoded bool   // the candidate was
	before  string // what is before a value in its text
	took    bool   // a value, or a built-in mapping has decided against one
}

// value takes every value of a pick from the JSON at its place. It returns true if it took one, or if a built-in mapping has
// decided against one.
func (t *taker) value(what taking, v gjson.Result) bool {
	t.taking = what
	t.walker.pick, t.walker.tooDeep, t.walker.unread = t.p, 0, 0
	reserve := t.work / 2
	t.work -= reserve
	t.walker.walk(v, 0)
	t.work = max(t.work, 0) + reserve
	t.cut(CutLevels, t.walker.tooDeep)
	t.cut(CutText, t.walker.unread)
	return t.took
}

func (t *taker) cut(what CutKind, number int) {
	if number > 0 {
		t.run.cut(t.m.id, t.path(), what, number)
	}
}

// path returns the path of the place: that of the pick, or the one that leads to the member.
func (t *taker) path() string {
	if t.at == nil {
		return t.p.path.text
	}
	if t.place == "" {
		t.place = t.at.path()
	}
	return t.place
}

// candidate takes a candidate; false if no more are wanted.
func (t *taker) candidate(text string) bool {
	if t.count++; t.count > maxCandidates {
		t.cut(CutCandidates, 1)
		return false
	}
	if len(t.p.decode) > 0 {
		return decodeAll(t.p.decode, t.p.typ, text, false, func(text string, encoded bool) bool {
			t.encoded = encoded
			return t.decoded(text)
		})
	}
	return t.decoded(text)
}

// decoded takes a candidate whose encodings are undone.
func (t *taker) decoded(text string) bool {
	if t.p.scan {
		return t.scan(text)
	}
	if t.p.pair != nil {
		var ok bool
		if text, ok = t.paired(text); !ok {
			return true
		}
	}
	if t.note == nil && !t.p.private && isPrivateText(t.p.typ, text) {
		t.tally.candidate(t.m, t.number, errNotGlobal)
		return true // most addresses of most alerts
	}
	typ, value, err := t.p.typ.Resolve(text)
	return t.take(text, typ, value, err) != stop
}

// paired returns a candidate with the other half of its value; false if there is none.
func (t *taker) paired(candidate string) (string, bool) {
	second := t.run.value(t.p.pair)
	if second.IsObject() || second.IsArray() {
		return "", false
	}
	text := second.String()
	if len(text) > MaxValue { // a copy for each candidate would be long
		t.cut(CutLong, 1)
		return "", false
	}
	if isPlaceholder(strings.TrimSpace(text)) {
		return "", false
	}
	return candidate + pairMark + text, true
}

// isPrivateText reports whether a text is plainly an address that is not public.
func isPrivateText(t Type, text string) bool {
	return beginsPrivate(text) && isIPv4(text) && (t == Auto || t.Family() == familyIP)
}

// scan takes the values in a text.
func (t *taker) scan(text string) bool {
	if len(text) <= maxScan && !mayHold(text) {
		return true
	}
	s := &t.scanner
	*s = scanner{yield: s.yield, whole: t.encoded}
	s.scan(text)
	t.encoded, t.before = s.whole, ""
	t.cut(CutText, s.unread)
	t.cut(CutFound, s.more)
	t.cut(CutLong, s.long)
	return !s.ended
}

// scanned takes a value that scan found.
func (t *taker) scanned(candidate string, typ Type, value string, err error) verdict {
	t.encoded, t.before = t.scanner.whole || t.scanner.encoded, t.scanner.before
	return t.take(candidate, typ, value, err)
}

// take takes a value in normal form, or notes why not.
func (t *taker) take(candidate string, typ Type, value string, err error) verdict {
	if err == nil && !t.p.private {
		err = keepByDefault(typ, value)
	}
	if err == nil {
		err = t.keep(typ, value)
	}
	if err == nil {
		err = t.engine.ignore.drops(typ, value)
	}
	if err == nil && t.m.fallback {
		err = t.checkFallback(typ, value)
	}
	if err == nil {
		err = t.add(typ, value)
	}
	if t.note != nil {
		t.note(t.m, t.number, candidate, typ, value, err)
	}
	t.tally.candidate(t.m, t.number, err)
	if err == nil {
		t.took = true
		return kept
	}
	if errors.Is(err, errWork) {
		t.cut(CutWork, 1)
		return stop
	}
	if fatal, ok := errors.AsType[evalError](err); ok {
		t.errs = append(t.errs, fmt.Errorf("%s:%d: mapping %q: %w", t.m.file, t.m.line, t.m.id, fatal.err))
		return stop
	}
	switch {
	case errors.Is(err, errTooLong):
		t.cut(CutLong, 1)
	case t.m.known() && errors.Is(err, errNotKept):
		t.took = true
	}
	return dropped
}

// An evalError ends a pick: its keep expression failed, or there are too many values.
type evalError struct {
	err   error
	limit bool // there are too many
}

func (e evalError) Error() string { return e.err.Error() }

var (
	errNotKept = errors.New("keep is false")
	errWhen    = errors.New("when is false")
	errProduct = errors.New("a mapping of a product has picked from this alert")
)

func (t *taker) keep(typ Type, value string) error {
	if t.p.keep == nil {
		return nil
	}
	if t.work <= 0 {
		return errWork
	}
	t.current = value
	if t.p.keep.ready().direct == nil {
		t.names["value"], t.names["type"] = value, string(typ)
	}
	ok, err := t.eval(t.p.keep)
	if errors.Is(err, errWork) {
		return err
	}
	if err != nil {
		return evalError{err: fmt.Errorf("pick %s: keep: %w", strconv.Quote(t.p.title()), err)}
	}
	if !ok {
		return errNotKept
	}
	return nil
}

// add adds a value, once for all places that it is found at. It clones what it keeps: value may point into the alert.
func (t *taker) add(typ Type, value string) error {
	r, m := t.run, t.m
	if i := r.foundAt(m.filter, typ.Family(), value); i >= 0 {
		o, path := &r.found[i], t.path()
		for _, have := range o.Picks {
			if have.Mapping == m.id && have.Path == path {
				return nil
			}
		}
		o.Picks = append(o.Picks, Pick{Mapping: m.id, Path: path, Type: typ, Encoded: t.encoded})
		return nil
	}
	if len(r.found) >= MaxObservables {
		t.cut(CutObservables, 1)
		return evalError{err: fmt.Errorf("more than %d values in one alert, the rest are left out", MaxObservables), limit: true}
	}
	if r.found == nil {
		r.found = make([]Observable, 0, 8) // enough for most alerts that have one
	}
	r.found = append(r.found, Observable{
		Type: typ, Value: strings.Clone(value), Filter: m.filter, Fallback: m.fallback,
		Picks: []Pick{{Mapping: m.id, Path: t.path(), Type: typ, Encoded: t.encoded}},
	})
	return nil
}
