package engine

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
	"github.com/tidwall/gjson"
)

// A run is the working memory of one Pick; a pool keeps them.
type run struct {
	engine     *Engine
	alert      string // a view of the caller's bytes, only valid during pick
	doc        document
	places     []place // of plain paths in doc, by their id
	generation uint32  // number of the alert; places with another one are stale
	seen       []seenValue
	groups     []string
	candidates []int32
	taker      taker
	walker     memberWalker
	heldAt     int32       // the object that held is about; -1 for none
	held       holding     // what is in it
	picking    []*mapping  // that match and pick by name
	taken      []takenPath // that mappings picked from
	steps      []string    // names of the objects around a member, the outermost first
	product    bool        // a mapping of a product has picked a value
	own        []string    // names and addresses of the agent and the manager; see isOwn
	ownRead    bool
	names      map[string]any // what expressions see
	provided   uses           // which of the costly names hold values of this alert
	vm         vm.VM
	ran        bool   // vm has run on this alert
	work       int    // steps that are left for expressions on this alert
	failed     error  // of a condition that decide could not decide
	current    string // the value that keep judges
	found      []Observable
	placed     map[foundKey]int // of found behind the first few
	cuts       []Cut
	errs       []error
	tally      *Tally // what is counted; nil for nothing
}

// A place is the member of the document that a path leads to; -1 for none.
type place struct {
	generation uint32
	member     int32
	text       string // of a string that had to be unescaped; empty before it is first needed
}

// A seenValue is the value at a path that is not plain.
type seenValue struct {
	path  string
	value gjson.Result
}

// noMappings is the engine of runs of the zero Engine.
var noMappings = sync.OnceValue(func() *Engine {
	e, _ := load(nil, false, nil) // nothing to find a fault in
	return e
})

// takeRun returns a run to use and to put back into the pool.
func (e *Engine) takeRun() *run {
	if r, ok := e.runs.Get().(*run); ok {
		return r
	}
	return newRun(noMappings())
}

func newRun(e *Engine) *run {
	r := &run{engine: e, names: map[string]any{}, work: maxExprWork}
	r.taker.run = r
	r.taker.walker.yield, r.taker.scanner.yield = r.taker.candidate, r.taker.scanned
	r.names["field"] = func(path string) string { return r.get(path).String() }
	r.names["has"] = func(path string) bool {
		v := r.get(path)
		return v.Exists() && v.Type != gjson.Null
	}
	r.bound()
	r.vm.MemoryBudget = exprMemory
	return r
}

// release drops everything that points into the alert, or that belongs to the caller now.
func (r *run) release() {
	r.alert = ""
	r.doc.text = ""
	clear(r.seen)
	r.seen = r.seen[:0]
	clear(r.groups)
	r.groups = r.groups[:0]
	r.found, r.placed, r.cuts, r.errs, r.current = nil, nil, nil, nil, ""
	r.tally = nil
	r.walker = memberWalker{}
	r.taker.taking, r.taker.scanner = taking{}, scanner{yield: r.taker.scanner.yield}
	r.taken, r.product = r.taken[:0], false
	clear(r.steps[:cap(r.steps)])
	clear(r.own)
	r.steps, r.own, r.ownRead = r.steps[:0], r.own[:0], false
	if r.ran {
		r.ran, r.provided = false, 0
		for _, name := range []string{"groups", "rule", "agent", "decoder", "location", "value", "type"} {
			delete(r.names, name)
		}
		clear(r.vm.Stack[:cap(r.vm.Stack)])
	}
}

// read starts with an alert.
func (r *run) read(alert string) {
	r.doc.read(alert)
	r.begin(alert)
}

// begin starts with an alert whose document was read.
func (r *run) begin(alert string) {
	r.alert = alert
	r.heldAt = -1
	r.work = maxExprWork
	if r.generation++; r.generation == 0 { // the counter wrapped: old places would look fresh
		clear(r.places)
		r.generation = 1
	}
	r.readGroups()
}

// member returns the member of the document that a plain path leads to, -1 for none.
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

// follow returns the value at a path that gjson follows from the start of the alert. The path may be a text of the alert.
func (r *run) follow(path string) gjson.Result {
	for i := range r.seen {
		if r.seen[i].path == path {
			return r.seen[i].value
		}
	}
	r.work -= len(r.alert) * (1 + len(path)/64)
	v := gjson.Get(r.alert, path)
	if len(r.seen) < maxSeen {
		r.seen = append(r.seen, seenValue{path, v})
	}
	return v
}

// readGroups reads rule.groups, without blanks around a group: Wazuh splits its lists at commas and keeps blanks.
func (r *run) readGroups() {
	v := r.value(r.engine.groups)
	if v.Type == gjson.String {
		for g := range strings.SplitSeq(v.Str, ",") {
			if !r.addGroup(g) {
				return
			}
		}
		return
	}
	v.ForEach(func(_, g gjson.Result) bool { return g.Type != gjson.String || r.addGroup(g.Str) })
}

// addGroup adds a group; false if there are too many.
func (r *run) addGroup(g string) bool {
	if g = strings.TrimSpace(g); g == "" {
		return true
	}
	if len(r.groups) == maxCandidates {
		r.cut("", "", CutGroups, 1)
		return false
	}
	r.groups = append(r.groups, g)
	return true
}

// eval runs a boolean expression over the alert. errWork says that it takes too many steps.
func (r *run) eval(p *program) (bool, error) {
	if p.ready().direct != nil {
		ok := r.decide(p.direct)
		if err := r.failed; err != nil {
			r.failed = nil
			return false, err
		}
		return ok, nil
	}
	if r.work <= 0 {
		return false, errWork
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
	r.work -= nodeWork * len(code.Bytecode)
	out, err := r.vm.Run(code, r.names)
	if err != nil {
		r.vm = vm.VM{MemoryBudget: exprMemory}
		if errors.Is(err, errWork) {
			return false, errWork
		}
		if e, ok := errors.AsType[*file.Error](err); ok {
			return false, fmt.Errorf("%s (character %d of the expression)", e.Message, e.From+1)
		}
		return false, err
	}
	ok, _ := out.(bool)
	return ok, nil
}

// provide fills in the costly names of an expression that no expression on this alert has used before.
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
