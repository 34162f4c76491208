package engine

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unsafe"

	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
	"github.com/tidwall/gjson"
)

const (
	// MaxObservables is how many observables are taken from one alert. The real ones have a few dozen at most.
	MaxObservables = 1000
	// maxCandidates is how many candidates one pick may yield.
	maxCandidates = 5000
	// maxNesting is how deep arrays in arrays are followed.
	maxNesting = 4
	// maxSeen is how many values of an alert are remembered by their path.
	maxSeen = 64
	// exprMemory bounds what one evaluation of an expression may hold, in values.
	exprMemory = 100_000
)

// Pick returns the observables of an alert, each once, in the order of the mappings and their picks.
//
// It takes any bytes, never panics, does no I/O and is safe for concurrent use. An error reports expressions
// that failed on this alert, or that there were more than [MaxObservables]; the observables are still good.
func (e *Engine) Pick(alert []byte) ([]Observable, error) {
	r := e.runs.Get().(*run)
	defer e.runs.Put(r)
	return r.pick(alert)
}

// Context returns the values that a mapping wants to show beside its matches, by short key. Values that the
// alert does not have are left out. The result is nil for an unknown mapping or if there is nothing.
func (e *Engine) Context(mapping string, alert []byte) map[string]string {
	m := e.byID[mapping]
	if m == nil {
		return nil
	}
	m = m.whole()
	var values map[string]string
	for _, c := range m.context {
		v := gjson.GetBytes(alert, c.path)
		s := v.String()
		if v.IsArray() {
			items := []string{}
			for _, item := range v.Array() {
				items = append(items, item.String())
			}
			s = strings.Join(items, ", ")
		}
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

// A run is the working memory of one Pick; a pool keeps them.
type run struct {
	engine     *Engine
	alert      string // a view of the caller's bytes, only valid during pick
	doc        document
	places     []place // of plain paths in doc, by their id
	generation uint32  // of the places that are those of this alert
	seen       []seenValue
	groups     []string
	candidates []int32
	names      map[string]any // what expressions see
	provided   uses           // which of the costly names are those of this alert
	vm         vm.VM
	ran        bool   // vm, on this alert
	current    string // the value that keep is about
	found      []Observable
	errs       []error
}

// A place says where in the document a path leads; -1 for nowhere.
type place struct {
	generation uint32
	member     int32
	text       string // of a string that had to be unescaped; empty if it was not asked for yet
}

// A seenValue is a value at a path that is not plain, asked for once.
type seenValue struct {
	path  string
	value gjson.Result
}

func newRun(e *Engine) *run {
	r := &run{engine: e, names: map[string]any{}}
	r.names["field"] = func(path string) string { return r.get(path).String() }
	r.names["has"] = func(path string) bool {
		v := r.get(path)
		return v.Exists() && v.Type != gjson.Null
	}
	r.vm.MemoryBudget = exprMemory
	return r
}

func (r *run) pick(alert []byte) ([]Observable, error) {
	// A string that shares the caller's memory spares a copy of every alert. Nothing that outlives this call
	// may point into it: add clones what it keeps.
	defer r.release()
	r.read(unsafe.String(unsafe.SliceData(alert), len(alert))) //nolint:gosec // see above
	r.candidates = r.engine.index.candidates(r, r.candidates[:0])
	for _, i := range r.candidates {
		m := r.engine.mappings[i]
		ok, err := r.eval(m.condition())
		if err != nil {
			r.errs = append(r.errs, fmt.Errorf("%s:%d: mapping %q: match: %w", m.file, m.line, m.id, err))
		}
		if !ok {
			continue
		}
		m = m.whole()
		for p := range m.picks {
			r.pickOne(m, &m.picks[p], nil)
		}
	}
	return r.found, errors.Join(r.errs...)
}

// release drops everything that points into the alert, or that now belongs to the caller.
func (r *run) release() {
	r.alert = ""
	r.doc.text = ""
	clear(r.seen)
	r.seen = r.seen[:0]
	clear(r.groups)
	r.groups = r.groups[:0]
	r.found, r.errs, r.current = nil, nil, ""
	if r.ran {
		r.ran, r.provided = false, 0
		for _, name := range []string{"groups", "rule", "agent", "decoder", "location", "value", "type"} {
			delete(r.names, name)
		}
		clear(r.vm.Stack[:cap(r.vm.Stack)])
	}
}

// read makes an alert the one that the run is about.
func (r *run) read(alert string) {
	r.alert = alert
	r.doc.read(alert)
	if r.generation++; r.generation == 0 { // places of four thousand million alerts ago would be taken for this one's
		clear(r.places)
		r.generation = 1
	}
	r.readGroups()
}

// member returns where in the document a plain path leads, -1 for nowhere.
func (r *run) member(p *fieldPath) int32 {
	if int(p.id) >= len(r.places) {
		r.places = append(r.places, make([]place, int(p.id)+1-len(r.places))...)
	}
	if at := r.places[p.id]; at.generation == r.generation {
		return at.member
	}
	i := int32(-1)
	if p.parent == nil {
		from, to := r.doc.all()
		i = r.doc.find(from, to, p.name)
	} else if parent := r.member(p.parent); parent >= 0 {
		from, to := r.doc.inside(parent)
		i = r.doc.find(from, to, p.name)
	}
	r.places[p.id] = place{r.generation, i, ""}
	return i
}

// value returns the value at a path of the alert.
func (r *run) value(p *fieldPath) gjson.Result {
	if !p.plain {
		return r.follow(p.text)
	}
	i := r.member(p)
	if i < 0 {
		return gjson.Result{}
	}
	raw := r.doc.raw(i)
	if raw != "" && raw[0] == '"' {
		return gjson.Result{Type: gjson.String, Raw: raw, Str: r.text(p)}
	}
	return valueOf(raw)
}

// text returns what field(path) is.
func (r *run) text(p *fieldPath) string {
	if !p.plain {
		return r.follow(p.text).String()
	}
	i := r.member(p)
	if i < 0 {
		return ""
	}
	raw := r.doc.raw(i)
	if len(raw) >= 2 && raw[0] == '"' && strings.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	if raw == "" || raw[0] != '"' {
		return valueOf(raw).String()
	}
	at := &r.places[p.id]
	if at.text == "" { // a copy, which may outlive the alert
		at.text = valueOf(raw).String()
	}
	return at.text
}

// has returns what has(path) is.
func (r *run) has(p *fieldPath) bool {
	if !p.plain {
		v := r.follow(p.text)
		return v.Exists() && v.Type != gjson.Null
	}
	i := r.member(p)
	return i >= 0 && r.doc.raw(i) != "" && valueOf(r.doc.raw(i)).Type != gjson.Null
}

// decoder returns the name of the decoder.
func (r *run) decoder() string { return r.text(r.engine.decoder) }

// get returns the value at a gjson path of the alert.
func (r *run) get(path string) gjson.Result {
	if p := r.engine.paths.known(path); p != nil {
		return r.value(p)
	}
	return r.follow(path)
}

// follow has gjson follow a path from the beginning of the alert.
func (r *run) follow(path string) gjson.Result {
	for i := range r.seen {
		if r.seen[i].path == path {
			return r.seen[i].value
		}
	}
	v := gjson.Get(r.alert, path)
	if len(r.seen) < maxSeen {
		r.seen = append(r.seen, seenValue{path, v})
	}
	return v
}

// readGroups reads rule.groups. Blanks around a group are taken off: Wazuh splits its lists on commas and keeps
// what is around them.
func (r *run) readGroups() {
	v := r.value(r.engine.groups)
	if v.Type == gjson.String {
		for g := range strings.SplitSeq(v.Str, ",") {
			r.addGroup(g)
		}
		return
	}
	v.ForEach(func(_, g gjson.Result) bool {
		if g.Type == gjson.String {
			r.addGroup(g.Str)
		}
		return len(r.groups) < maxCandidates
	})
}

func (r *run) addGroup(g string) {
	if g = strings.TrimSpace(g); g != "" {
		r.groups = append(r.groups, g)
	}
}

// eval runs a boolean expression over the alert.
func (r *run) eval(p *program) (bool, error) {
	if p.direct != nil {
		return r.decide(p.direct), nil
	}
	if !r.ran {
		r.ran = true
		r.names["groups"] = r.groups
	}
	if missing := p.uses &^ r.provided; missing != 0 {
		r.provide(missing)
	}
	code, err := p.compile()
	if err != nil {
		return false, err
	}
	out, err := r.vm.Run(code, r.names)
	if err != nil {
		r.vm = vm.VM{MemoryBudget: exprMemory}
		if e, ok := errors.AsType[*file.Error](err); ok {
			return false, fmt.Errorf("%s (character %d of the expression)", e.Message, e.From+1)
		}
		return false, err
	}
	ok, _ := out.(bool)
	return ok, nil
}

// provide fills in the names that cost something, the first time that an expression asks for them.
func (r *run) provide(u uses) {
	if u&usesRule != 0 {
		rule := ruleNames{Groups: r.groups}
		rule.ID = r.get("rule.id").String()
		rule.Level = int(r.get("rule.level").Int())
		rule.Description = r.get("rule.description").String()
		r.names["rule"] = rule
	}
	if u&usesAgent != 0 {
		r.names["agent"] = agentNames{
			ID:   r.get("agent.id").String(),
			Name: r.get("agent.name").String(),
			IP:   r.get("agent.ip").String(),
		}
	}
	if u&usesDecoder != 0 {
		r.names["decoder"] = decoderNames{
			Name:   r.decoder(),
			Parent: r.get("decoder.parent").String(),
		}
	}
	if u&usesLocation != 0 {
		r.names["location"] = r.get("location").String()
	}
	r.provided |= u
}

// pickOne takes every value of one pick. note, if not nil, is told the fate of each candidate.
func (r *run) pickOne(m *mapping, p *pick, note func(candidate string, t Type, value string, err error)) {
	count := 0
	take := func(candidate string, t Type, value string, err error) bool {
		if err == nil {
			err = r.keep(p, t, value)
		}
		if err == nil {
			err = r.engine.ignore.check(t, value)
		}
		if err == nil {
			err = r.add(m, p, t, value)
		}
		if note != nil {
			note(candidate, t, value, err)
		}
		if fatal, ok := errors.AsType[evalError](err); ok {
			r.errs = append(r.errs, fmt.Errorf("%s:%d: mapping %q: %w", m.file, m.line, m.id, fatal.err))
			return false
		}
		count++
		return count < maxCandidates
	}
	p.candidates(r.value(p.path), func(candidate string) bool {
		if p.scan {
			return scan(candidate, take)
		}
		t, value, err := p.typ.Resolve(candidate)
		return take(candidate, t, value, err)
	})
}

// candidates calls yield with each candidate at v: the items of arrays, split and matched as the pick says.
func (p *pick) candidates(v gjson.Result, yield func(string) bool) {
	p.walk(v, 0, yield)
}

func (p *pick) walk(v gjson.Result, depth int, yield func(string) bool) bool {
	switch {
	case !v.Exists() || v.Type == gjson.Null || v.IsObject():
		return true
	case v.IsArray():
		if depth >= maxNesting {
			return true
		}
		more := true
		v.ForEach(func(_, item gjson.Result) bool {
			more = p.walk(item, depth+1, yield)
			return more
		})
		return more
	}
	text := v.Raw
	if v.Type == gjson.String {
		text = v.Str
	}
	if p.split == "" {
		return p.extract(text, yield)
	}
	for part := range strings.SplitSeq(text, p.split) {
		if !p.extract(part, yield) {
			return false
		}
	}
	return true
}

func (p *pick) extract(text string, yield func(string) bool) bool {
	if p.prefix != "" {
		rest, ok := strings.CutPrefix(strings.TrimLeft(text, " \t"), p.prefix)
		if !ok {
			return true
		}
		text = rest
	}
	if p.part != "" {
		last := strings.LastIndexAny(text, `/\`)
		if last < 0 || last == len(text)-1 {
			return true
		}
		if p.part == partName {
			text = text[last+1:]
		}
	}
	if p.regex == nil {
		return yield(text)
	}
	re := p.regex()
	for _, at := range re.FindAllStringSubmatchIndex(text, maxCandidates) {
		if start, end := at[2*re.group], at[2*re.group+1]; start >= 0 && !yield(text[start:end]) {
			return false
		}
	}
	return true
}

// An evalError ends a pick: its keep expression failed, or there are too many values.
type evalError struct{ err error }

func (e evalError) Error() string { return e.err.Error() }

var errNotKept = errors.New("keep is false")

func (r *run) keep(p *pick, t Type, value string) error {
	if p.keep == nil {
		return keepByDefault(t, value)
	}
	r.current = value
	if p.keep.direct == nil {
		r.names["value"], r.names["type"] = value, string(t)
	}
	ok, err := r.eval(p.keep)
	if err != nil {
		return evalError{fmt.Errorf("pick %s: keep: %w", strconv.Quote(p.path.text), err)}
	}
	if !ok {
		return errNotKept
	}
	return nil
}

// add notes a value, once for all places it is found at. It clones what it keeps: value may point into the
// alert.
func (r *run) add(m *mapping, p *pick, t Type, value string) error {
	family := t.Family()
	for i := range r.found {
		o := &r.found[i]
		if o.Filter == m.filter && o.Type.Family() == family && strings.EqualFold(o.Value, value) {
			for _, have := range o.Picks {
				if have.Mapping == m.id && have.Path == p.path.text {
					return nil
				}
			}
			o.Picks = append(o.Picks, Pick{Mapping: m.id, Path: p.path.text, Type: t})
			return nil
		}
	}
	if len(r.found) >= MaxObservables {
		return evalError{fmt.Errorf("more than %d values in one alert, the rest is left out", MaxObservables)}
	}
	if r.found == nil {
		r.found = make([]Observable, 0, 8) // as many as most alerts have that have one
	}
	r.found = append(r.found, Observable{
		Type: t, Value: strings.Clone(value), Filter: m.filter,
		Picks: []Pick{{Mapping: m.id, Path: p.path.text, Type: t}},
	})
	return nil
}
