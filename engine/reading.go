package engine

import "unsafe"

// A Reading is an alert that was read once, to be asked and picked from. Make one with [Engine.Read] and close it. It is for one
// goroutine, and the bytes of the alert must not change before it is closed.
type Reading struct {
	engine *Engine
	run    *run
}

// Read reads an alert and checks on the way that it is JSON: one object with nothing around it. ok is false if it is not, or is
// nested more than 100 deep; then there is nothing to close.
func (e *Engine) Read(alert []byte) (reading Reading, ok bool) {
	r := e.takeRun()
	text := unsafe.String(unsafe.SliceData(alert), len(alert)) //nolint:gosec // released with the reading; see run.pick
	if !r.doc.readValid(text) {
		r.release()
		e.runs.Put(r)
		return Reading{}, false
	}
	r.begin(text)
	return Reading{e, r}, true
}

// HasRule reports whether the alert has a rule, as Wazuh's own have and events of archives.json do not.
func (g Reading) HasRule() bool {
	i := g.run.member(g.run.engine.groups.parent)
	return i >= 0 && g.run.doc.raw(i)[0] == '{'
}

// IsFrom reports whether the location of the alert is a text.
func (g Reading) IsFrom(location string) bool { return g.run.text(g.run.engine.location) == location }

// Pick is [Engine.PickWithCuts]. It may be called once.
func (g Reading) Pick() ([]Observable, []Cut, error) { return g.run.pickRead() }

// Close ends the reading.
func (g Reading) Close() {
	g.run.release()
	g.engine.runs.Put(g.run)
}
