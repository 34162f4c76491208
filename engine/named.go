package engine

import (
	"strings"

	"github.com/tidwall/gjson"
)

// This file picks by name: it follows the members below an object once for all picks of a mapping that are about it.

// A takenPath is a path that a mapping picked from.
type takenPath struct {
	by   *mapping
	path *fieldPath
}

// A namedMember is a member that has one of the names of a pick.
type namedMember struct {
	under  string
	within []string // names of the objects around it, with # for the items of an array; valid until the next member
	name   string
}

// pickNamed takes the values of the picks by name of a mapping.
func (r *run) pickNamed(m *mapping, note noter) {
	for i := range m.named {
		n := &m.named[i]
		at := r.member(n.under)
		if at < 0 {
			continue
		}
		w := &r.walker
		*w = memberWalker{run: r, m: m, n: n, note: note, left: maxCandidates}
		if r.heldAt != at {
			r.heldAt, r.held = at, holdingOf(r.doc.raw(at))
		}
		if note == nil {
			w.off = n.off[r.held]
		}
		if n.asked != 0 {
			for bit, number := range n.picks {
				if n.asked&(1<<bit) != 0 && !r.applies(m, number, note) {
					w.off |= 1 << bit
				}
			}
		}
		if w.off == 1<<len(n.picks)-1 {
			continue
		}
		r.steps = r.steps[:0]
		from, to := r.doc.inside(at)
		w.members(from, to, w.off)
		if w.left < 0 {
			r.cut(m.id, n.under.text, CutCandidates, 1)
		}
	}
}

// needs returns what an object must hold so that the pick can take something from it.
func (p *pick) needs() holding {
	switch {
	case p.private || len(p.decode) > 0:
		return holdsNothing
	case p.scan:
		return holdsPlain
	}
	switch p.typ.Family() {
	case familyIP, familyHost, familyURL, familyEmail, familyCVE:
		return holdsNamed
	}
	if p.typ == Auto || hashLengths[p.typ] > 0 {
		return holdsNamed
	}
	return holdsNothing
}

// A memberWalker follows the members of an object.
type memberWalker struct {
	*run
	m    *mapping
	n    *namedPicks
	note noter
	off  uint64 // picks that do not apply
	left int    // members
	at   namedMember
}

// members follows members of the document. blocked are the picks that leave out the object.
func (w *memberWalker) members(from, to int32, blocked uint64) {
	for i := from; i < to; i = w.doc.members[i].next {
		raw := w.doc.raw(i)
		if w.left--; w.left < 0 {
			return
		}
		if !mayBeValue(raw) {
			continue
		}
		name := w.doc.name(&w.doc.members[i])
		if strings.IndexByte(name, '\\') >= 0 {
			name = unescaped(name)
		}
		s := w.n.tree.match(name, w.steps)
		within := blocked | s.except
		switch {
		case raw[0] == '{':
			w.steps = append(w.steps, name)
			if inside, end := w.doc.inside(i); inside < end {
				w.members(inside, end, within)
			}
			w.steps = w.steps[:len(w.steps)-1]
		case raw[0] == '[':
			w.list(name, gjson.Result{Type: gjson.JSON, Raw: raw}, s.picked&^within, within)
		case s.picked&^within != 0:
			w.take(name, valueOf(raw), s.picked&^within)
		}
	}
}

// mayBeValue reports whether JSON may be, or hold, a value of any type: a text of four bytes, an object or an array.
func mayBeValue(raw string) bool {
	return len(raw) >= len(`"1234"`) && (raw[0] == '"' || raw[0] == '{' || raw[0] == '[')
}

// list takes the scalars of an array, and follows the objects in it.
func (w *memberWalker) list(name string, v gjson.Result, picked, blocked uint64) {
	if picked != 0 {
		w.take(name, v, picked)
	}
	if strings.IndexByte(v.Raw, '{') < 0 || len(w.steps) >= maxObjects {
		return
	}
	w.steps = append(w.steps, name)
	v.ForEach(func(_, item gjson.Result) bool {
		w.item(item, blocked)
		return w.left >= 0
	})
	w.steps = w.steps[:len(w.steps)-1]
}

// item follows an object in an array.
func (w *memberWalker) item(v gjson.Result, blocked uint64) {
	if len(w.steps) >= maxObjects {
		return
	}
	w.steps = append(w.steps, itemStep)
	defer func() { w.steps = w.steps[:len(w.steps)-1] }()
	if v.IsArray() {
		v.ForEach(func(_, item gjson.Result) bool {
			w.item(item, blocked)
			return w.left >= 0
		})
		return
	}
	if v.IsObject() {
		w.object(v, blocked)
	}
}

// object follows the members of an object that is not in the document, as it is in an array.
func (w *memberWalker) object(v gjson.Result, blocked uint64) {
	v.ForEach(func(key, value gjson.Result) bool {
		if w.left--; w.left < 0 {
			return false
		}
		s := w.n.tree.match(key.Str, w.steps)
		within := blocked | s.except
		switch {
		case value.IsObject():
			if len(w.steps) < maxObjects {
				w.steps = append(w.steps, key.Str)
				w.object(value, within)
				w.steps = w.steps[:len(w.steps)-1]
			}
		case value.IsArray():
			w.list(key.Str, value, s.picked&^within, within)
		case s.picked&^within != 0:
			w.take(key.Str, value, s.picked&^within)
		}
		return true
	})
}

// itemStep stands for the items of an array among the names around a member.
const itemStep = "#"

// take takes the values of picks at a member, unless another mapping picked from it.
func (w *memberWalker) take(name string, v gjson.Result, picked uint64) {
	w.at = namedMember{w.n.under.text, w.steps, name}
	path := ""
	if len(w.taken) > 0 {
		for _, t := range w.taken {
			if t.by == w.m || !strings.HasSuffix(strings.TrimSuffix(t.path.text, ".#"), name) && strings.IndexByte(t.path.text, '\\') < 0 {
				continue
			}
			if path == "" {
				path = w.at.path()
			}
			if samePlace(t.path.text, path) {
				return
			}
		}
	}
	for bit, number := range w.n.picks {
		if picked&(1<<bit) == 0 {
			continue
		}
		w.taker.value(taking{m: w.m, p: &w.m.picks[number], number: number, at: &w.at, note: w.note, place: path}, v)
	}
}

// path returns the gjson path of the member.
func (m *namedMember) path() string {
	var b strings.Builder
	b.WriteString(m.under)
	for _, step := range m.within {
		b.WriteByte('.')
		writeStep(&b, step)
	}
	b.WriteByte('.')
	writeStep(&b, m.name)
	return b.String()
}

// writeStep writes a name as a step of a path.
func writeStep(b *strings.Builder, name string) {
	if name == itemStep {
		b.WriteString(name)
		return
	}
	for i := range len(name) {
		if strings.IndexByte(`.*?|#@!{}[]()=<>%"'\~^$:`, name[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(name[i])
	}
}

// samePlace reports whether a path of a mapping leads to the member of a path, as one of several perhaps: what is in brackets
// behind a # chooses among the items of an array.
func samePlace(of, path string) bool {
	for {
		at := strings.Index(of, "#(")
		if at < 0 {
			break
		}
		end := strings.Index(of[at:], ")")
		if end < 0 {
			break
		}
		rest := strings.TrimPrefix(of[at+end+1:], "#")
		if path = strings.TrimPrefix(path, of[:at]); !strings.HasPrefix(path, itemStep) {
			return false
		}
		of, path = rest, path[len(itemStep):]
	}
	return strings.TrimSuffix(of, ".#") == path || of == path
}
