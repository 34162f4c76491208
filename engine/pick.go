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

// Context returns the values that a mapping shows beside its matches, by the key that each has in
// the event. A value is a scalar, or the scalars of an
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
		text := c.text(gjson.GetBytes(alert, c.path))
		if text == "" {
			continue
		}
		if values == nil {
			values = map[string]string{}
		}
		values[c.key] = text
	}
	return values
}

// Filter returns what a mapping itself says of which attributes count as a match; nil for nothing, and for an unknown mapping. The
// caller must not change it.
func (e *Engine) Filter(mapping string) *Filter {
	m := e.byID[mapping]
	if m == nil {
		return nil
	}
	return m.whole().filter
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

func (r *run) pick(alert []byte) ([]Observable, []Cut, error) {
	// A string that shares the caller's memory saves a copy of every alert. Nothing that outlives this call may point
	// into it: add clones what it keeps.
	defer r.release()
	r.read(unsafe.String(unsafe.SliceData(alert), len(alert))) //nolint:gosec // see above
	return r.pickRead()
}

// pickRead picks from the alert that was read.
func (r *run) pickRead() ([]Observable, []Cut, error) {
	r.candidates = r.engine.index.candidates(r, r.candidates[:0])
	r.apply(func(m *mapping) bool {
		ok, err := r.matches(m)
		if err != nil {
			r.undecided(m, err)
		}
		r.tally.considered(m, ok, err)
		return ok
	}, nil)
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
func (r *run) matches(m *mapping) (bool, error) { return r.shared(m.condition()) }

// shared evaluates a match or a when: one that is not decided directly takes half of the steps that are left at most.
func (r *run) shared(p *program) (bool, error) {
	work := r.work
	if p.ready().direct != nil {
		ok, err := r.eval(p)
		r.work = work
		return ok, err
	}
	r.work -= work / 2
	ok, err := r.eval(p)
	r.work = max(r.work, 0) + work/2
	return ok, err
}

// A noter is called with each candidate of a pick, by its number in the mapping, and why it was dropped. A pick that did not
// apply has the reason alone.
type noter func(m *mapping, pick int, candidate string, t Type, value string, err error)

// apply applies the candidates that match: first their picks by path, then those by name, which leave out what the others
// picked, then mappings that are a fallback. note, if not nil, is called for everything.
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
			took = r.taker.value(taking{m: m, p: p, number: i, note: note}, v)
			if r.taker.count == 0 {
				r.tally.tookNone(m, i, fateEmpty)
			}
		} else {
			r.tally.tookNone(m, i, fateAbsent)
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
		ok, err := r.shared(p.when)
		if errors.Is(err, errWork) {
			r.cut(m.id, p.title(), CutWork, 1)
		} else if err != nil {
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
	r.tally.tookNone(m, number, fateNotApplied)
	return false
}

// title names a pick in messages: its path, or its first name.
func (p *pick) title() string {
	if len(p.names) > 0 {
		return p.names[0]
	}
	return p.path.text
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
