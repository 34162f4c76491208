package engine

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unsafe"

	"github.com/tidwall/gjson"
)

// Pick returns the observables of an alert, each once, in the order of the mappings and their picks.
//
// It takes any bytes, never panics, does no I/O and is safe for concurrent use. An error reports expressions
// that failed on this alert, or that it has more than [MaxObservables]; the observables are still good.
func (e *Engine) Pick(alert []byte) ([]Observable, error) {
	observables, _, err := e.PickWithCuts(alert)
	return observables, err
}

// PickWithCuts does what [Engine.Pick] does and also returns what bounds left out, one [Cut] for each pick and kind; nil
// for nearly all alerts. An author of logs can cause a cut in every alert: log it once for each mapping, and count it.
func (e *Engine) PickWithCuts(alert []byte) ([]Observable, []Cut, error) {
	r := e.takeRun()
	defer e.runs.Put(r)
	return r.pick(alert)
}

// Context returns the values that a mapping shows beside its matches, by short key. A value is a scalar, or the scalars of an
// array with commas between them. An object, also in an array, is left out: its text would be JSON, which some decoders of
// Wazuh find anywhere in an event. Values that the alert does not have are left out. The result is nil for an unknown
// mapping, and if no value is left.
func (e *Engine) Context(mapping string, alert []byte) map[string]string {
	m := e.byID[mapping]
	if m == nil {
		return nil
	}
	m = m.whole()
	var values map[string]string
	for _, c := range m.context {
		s := strings.Join(scalars(nil, gjson.GetBytes(alert, c.path), 0), ", ")
		if isPlaceholder(strings.TrimSpace(s)) {
			continue
		}
		if values == nil {
			values = map[string]string{}
		}
		values[c.key] = unescapePath(s)
	}
	return values
}

// scalars appends the texts of a scalar, or of those in an array.
func scalars(texts []string, v gjson.Result, level int) []string {
	switch {
	case v.IsArray() && level <= maxNesting:
		v.ForEach(func(_, item gjson.Result) bool {
			texts = scalars(texts, item, level+1)
			return true
		})
	case v.Type != gjson.JSON && v.Type != gjson.Null:
		texts = append(texts, v.String())
	}
	return texts
}

func (r *run) pick(alert []byte) ([]Observable, []Cut, error) {
	// A string that shares the caller's memory saves a copy of every alert. Nothing that outlives this call may point
	// into it: add clones what it keeps.
	defer r.release()
	r.read(unsafe.String(unsafe.SliceData(alert), len(alert))) //nolint:gosec // see above
	r.candidates = r.engine.index.candidates(r, r.candidates[:0])
	for _, i := range r.candidates {
		m := r.engine.mappings[i]
		ok, err := r.matches(m)
		if err != nil {
			r.undecided(m, err)
		}
		if !ok {
			continue
		}
		m = m.whole()
		for p := range m.picks {
			r.pickOne(m, &m.picks[p], nil)
		}
	}
	return r.found, r.cuts, errors.Join(r.errs...)
}

// undecided notes why a match could not be evaluated.
func (r *run) undecided(m *mapping, err error) {
	if errors.Is(err, errWork) {
		r.cut(m.id, "", CutWork, 1)
		return
	}
	r.errs = append(r.errs, fmt.Errorf("%s:%d: mapping %q: match: %w", m.file, m.line, m.id, err))
}

// matches evaluates the match of a mapping. One that is decided directly takes no steps from the others.
func (r *run) matches(m *mapping) (bool, error) {
	p, work := m.condition(), r.work
	if p.direct != nil {
		ok, err := r.eval(p)
		r.work = work
		return ok, err
	}
	r.work -= work / 2
	ok, err := r.eval(p)
	r.work = max(r.work, 0) + work/2
	return ok, err
}

// pickOne takes every value of one pick. note, if not nil, is called with each candidate and why it was dropped.
func (r *run) pickOne(m *mapping, p *pick, note func(candidate string, t Type, value string, err error)) {
	take := func(candidate string, t Type, value string, err error) verdict {
		if err == nil {
			err = r.keep(p, t, value)
		}
		if err == nil {
			err = r.engine.ignore.drops(t, value)
		}
		if err == nil {
			err = r.add(m, p, t, value)
		}
		if note != nil {
			note(candidate, t, value, err)
		}
		if err == nil {
			return kept
		}
		return r.drop(m, p, err)
	}
	reserve := r.work / 2
	r.work -= reserve
	count := 0
	w := walker{pick: p, yield: func(candidate string) bool {
		if count++; count > maxCandidates {
			r.cut(m.id, p.path.text, CutCandidates, 1)
			return false
		}
		if p.scan {
			s := scan(candidate, take)
			r.cut(m.id, p.path.text, CutText, s.unread)
			r.cut(m.id, p.path.text, CutFound, s.more)
			r.cut(m.id, p.path.text, CutLong, s.long)
			return !s.ended
		}
		if p.pair != nil {
			var ok bool
			if candidate, ok = r.paired(m, p, candidate); !ok {
				return true
			}
		}
		t, value, err := p.typ.Resolve(candidate)
		return take(candidate, t, value, err) != stop
	}}
	w.walk(r.value(p.path), 0)
	r.work = max(r.work, 0) + reserve
	r.cut(m.id, p.path.text, CutLevels, w.tooDeep)
	r.cut(m.id, p.path.text, CutText, w.unread)
}

// drop notes why a candidate is dropped.
func (r *run) drop(m *mapping, p *pick, err error) verdict {
	if errors.Is(err, errWork) {
		r.cut(m.id, p.path.text, CutWork, 1)
		return stop
	}
	if fatal, ok := errors.AsType[evalError](err); ok {
		r.errs = append(r.errs, fmt.Errorf("%s:%d: mapping %q: %w", m.file, m.line, m.id, fatal.err))
		return stop
	}
	if errors.Is(err, errTooLong) {
		r.cut(m.id, p.path.text, CutLong, 1)
	}
	return dropped
}

// paired returns a candidate with the other half of its value; false if there is none.
func (r *run) paired(m *mapping, p *pick, candidate string) (string, bool) {
	second := r.value(p.pair)
	if second.IsObject() || second.IsArray() {
		return "", false
	}
	text := second.String()
	if len(text) > MaxValue { // a copy for each candidate would be long
		r.cut(m.id, p.path.text, CutLong, 1)
		return "", false
	}
	if isPlaceholder(strings.TrimSpace(text)) {
		return "", false
	}
	return candidate + pairMark + text, true
}

// A walker calls yield with each candidate of a pick, until it returns false: the items of arrays, split and matched as
// the pick says.
type walker struct {
	*pick
	yield   func(candidate string) bool
	tooDeep int // arrays that are nested too deeply
	unread  int // bytes that regex did not read
}

// walk returns false if yield did.
func (w *walker) walk(v gjson.Result, depth int) bool {
	switch {
	case !v.Exists() || v.Type == gjson.Null || v.IsObject():
		return true
	case v.IsArray():
		if depth >= maxNesting {
			w.tooDeep++
			return true
		}
		more := true
		v.ForEach(func(_, item gjson.Result) bool {
			more = w.walk(item, depth+1)
			return more
		})
		return more
	}
	text := v.Raw
	if v.Type == gjson.String {
		text = v.Str
	}
	if w.split == "" {
		return w.extract(text)
	}
	for part := range strings.SplitSeq(text, w.split) {
		if !w.extract(part) {
			return false
		}
	}
	return true
}

func (w *walker) extract(text string) bool {
	if w.prefix != "" {
		rest, ok := strings.CutPrefix(strings.TrimLeft(text, " \t"), w.prefix)
		if !ok {
			return true
		}
		text = rest
	}
	if w.part != "" {
		last := strings.LastIndexAny(text, `/\`)
		if last < 0 || last == len(text)-1 {
			return true
		}
		if w.part == partName {
			text = text[last+1:]
		}
	}
	if w.regex == nil {
		return w.yield(text)
	}
	re := w.regex()
	unread, more := re.findAll(text, func(text string, at []int) bool {
		start, end := at[2*re.group], at[2*re.group+1]
		return start < 0 || w.yield(text[start:end])
	})
	w.unread += unread
	return more
}

// An evalError ends a pick: its keep expression failed, or there are too many values.
type evalError struct{ err error }

func (e evalError) Error() string { return e.err.Error() }

var errNotKept = errors.New("keep is false")

func (r *run) keep(p *pick, t Type, value string) error {
	if p.keep == nil {
		return keepByDefault(t, value)
	}
	if r.work <= 0 {
		return errWork
	}
	r.current = value
	if p.keep.direct == nil {
		r.names["value"], r.names["type"] = value, string(t)
	}
	ok, err := r.eval(p.keep)
	if err != nil {
		if errors.Is(err, errWork) {
			return err
		}
		return evalError{fmt.Errorf("pick %s: keep: %w", strconv.Quote(p.path.text), err)}
	}
	if !ok {
		return errNotKept
	}
	return nil
}

// add adds a value, once for all places that it is found at. It clones what it keeps: value may point into the alert.
func (r *run) add(m *mapping, p *pick, t Type, value string) error {
	if i := r.foundAt(m.filter, t.Family(), value); i >= 0 {
		o := &r.found[i]
		for _, have := range o.Picks {
			if have.Mapping == m.id && have.Path == p.path.text {
				return nil
			}
		}
		o.Picks = append(o.Picks, Pick{Mapping: m.id, Path: p.path.text, Type: t})
		return nil
	}
	if len(r.found) >= MaxObservables {
		r.cut(m.id, p.path.text, CutObservables, 1)
		return evalError{fmt.Errorf("more than %d values in one alert, the rest are left out", MaxObservables)}
	}
	if r.found == nil {
		r.found = make([]Observable, 0, 8) // enough for most alerts that have one
	}
	r.found = append(r.found, Observable{
		Type: t, Value: strings.Clone(value), Filter: m.filter,
		Picks: []Pick{{Mapping: m.id, Path: p.path.text, Type: t}},
	})
	return nil
}

// fewFound is how many observables are searched one by one.
const fewFound = 32

// foundKey is what an observable is added once for.
type foundKey struct {
	filter *Filter
	family Family
	value  string // in lower case
}

// foundAt returns the place of an observable in r.found, -1 if it is not there.
func (r *run) foundAt(filter *Filter, family Family, value string) int {
	for i := range r.found[:min(fewFound, len(r.found))] {
		if o := &r.found[i]; o.Filter == filter && o.Type.Family() == family && strings.EqualFold(o.Value, value) {
			return i
		}
	}
	if len(r.found) <= fewFound {
		return -1
	}
	if r.placed == nil {
		r.placed = map[foundKey]int{}
	}
	for i := fewFound + len(r.placed); i < len(r.found); i++ {
		o := &r.found[i]
		r.placed[foundKey{o.Filter, o.Type.Family(), strings.ToLower(o.Value)}] = i
	}
	if i, ok := r.placed[foundKey{filter, family, strings.ToLower(value)}]; ok {
		return i
	}
	return -1
}
