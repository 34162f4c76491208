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

// Labels returns the fixed texts that a mapping has for events; nil for none, and for an unknown mapping. The caller must not
// change it.
func (e *Engine) Labels(mapping string) map[string]string {
	m := e.byID[mapping]
	if m == nil {
		return nil
	}
	return m.whole().labels
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
	r.apply(func(m *mapping) bool {
		ok, err := r.eval(m.condition())
		if err != nil {
			r.errs = append(r.errs, fmt.Errorf("%s:%d: mapping %q: match: %w", m.file, m.line, m.id, err))
		}
		return ok
	}, nil)
	return r.found, r.cuts, errors.Join(r.errs...)
}

// A noter is called with each candidate of a pick, by its number in the mapping, and why it was dropped. A pick that did not
// apply has the reason alone.
type noter func(m *mapping, pick int, candidate string, t Type, value string, err error)

// apply applies the candidates that match: first their picks by path, then those by name, which leave out what the others
// picked, then mappings that are a fallback. note, if not nil, is told of everything.
func (r *run) apply(matches func(*mapping) bool, note noter) {
	r.picking = r.picking[:0]
	fallbacks := false
	for _, i := range r.candidates {
		m := r.engine.mappings[i]
		if m.fallback {
			fallbacks = true
			continue
		}
		if !matches(m) {
			continue
		}
		m = m.whole()
		r.pickPaths(m, note)
		if len(m.named) > 0 {
			r.picking = append(r.picking, m)
		}
	}
	for _, m := range r.picking {
		r.pickNamed(m, note)
	}
	if !fallbacks {
		return
	}
	r.product = r.pickedByProduct()
	for _, builtin := range []bool{false, true} { // a site's own come first
		for _, i := range r.candidates {
			if m := r.engine.mappings[i]; m.fallback && m.builtin == builtin && matches(m) {
				m = m.whole()
				r.pickNamed(m, note)
				r.pickPaths(m, note)
			}
		}
	}
}

// pickPaths takes the values of the picks of a mapping that have a path.
func (r *run) pickPaths(m *mapping, note noter) {
	for i := range m.picks {
		p := &m.picks[i]
		if len(p.names) > 0 {
			continue
		}
		took := false
		if !r.applies(m, i, note) {
			took = m.known() // it has decided against the place
		} else if v := r.value(p.path); v.Exists() {
			if m.fallback && p.scan && r.isRead(p.path) {
				if note != nil {
					note(m, i, "", "", "", errRead)
				}
				continue
			}
			took = r.taker.value(taking{m: m, p: p, number: i, note: note}, v) || m.isProduct() && (p.scan || p.regex != nil)
		}
		if took && !m.fallback && r.engine.byName {
			r.taken = append(r.taken, takenPath{m, p.path})
		}
	}
}

// applies reports whether a pick applies to the alert.
func (r *run) applies(m *mapping, number int, note noter) bool {
	p := &m.picks[number]
	var why error
	switch {
	case m.fallback && p.scan && r.product:
		why = errProduct
	case p.when != nil:
		ok, err := r.eval(p.when)
		if err != nil {
			r.errs = append(r.errs, fmt.Errorf("%s:%d: mapping %q: pick %s: when: %w", m.file, m.line, m.id, strconv.Quote(p.title()), err))
		}
		if ok {
			return true
		}
		why = errWhen
	default:
		return true
	}
	if note != nil {
		note(m, number, "", "", "", why)
	}
	return false
}

// title names a pick in messages: its path, or its first name.
func (p *pick) title() string {
	if len(p.names) > 0 {
		return p.names[0]
	}
	return p.path.text
}

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
	t.walker.walk(v, 0)
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
		second := t.run.value(t.p.pair)
		if isPlaceholder(strings.TrimSpace(second.String())) || second.IsObject() || second.IsArray() {
			return true
		}
		text += pairMark + second.String()
	}
	if t.note == nil && !t.p.private && isPrivateText(t.p.typ, text) {
		return true // most addresses of most alerts
	}
	typ, value, err := t.p.typ.Resolve(text)
	return t.take(text, typ, value, err) != stop
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
		err = t.engine.ignore.check(typ, value)
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
	if err == nil {
		t.took = true
		return kept
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
	if w.scan && len(w.decode) == 0 && len(text) <= maxScan && !mayHold(text) {
		return true // which takes less time than most expressions
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

var (
	errNotKept = errors.New("keep is false")
	errWhen    = errors.New("when is false")
	errRead    = errors.New("a mapping of a product reads this text")
	errProduct = errors.New("a mapping of a product has picked from this alert")
)

func (t *taker) keep(typ Type, value string) error {
	if t.p.keep == nil {
		return nil
	}
	t.current = value
	if t.p.keep.direct == nil {
		t.names["value"], t.names["type"] = value, string(typ)
	}
	ok, err := t.eval(t.p.keep)
	if err != nil {
		return evalError{fmt.Errorf("pick %s: keep: %w", strconv.Quote(t.p.title()), err)}
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
		return evalError{fmt.Errorf("more than %d values in one alert, the rest are left out", MaxObservables)}
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
