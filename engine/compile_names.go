package engine

import (
	"slices"

	"go.yaml.in/yaml/v4"

	"custom-misp/engine/yamlfile"
)

// This file compiles picks by name, and the labels of a mapping.

// compileNames sets what a pick by name is about.
func (r reader) compileNames(d declaredPick, p *pick) {
	if len(d.Name) == 0 {
		for _, s := range append(slices.Clone(d.Except), d.Under) {
			if s.Node != nil {
				r.Fault(s.Node, "name members with name, or leave the key out", "under and except belong to name, and this pick has a path")
			}
		}
		return
	}
	under := "data"
	if d.Under.Node != nil {
		if under = d.Under.Value; !isPlain(under) {
			r.FaultIn(d.Under, 0, "write names joined by dots, like data.event", "under: %q is not the path of an object", under)
		}
	}
	p.line, p.path = d.Name[0].Node.Line, r.paths.of(under)
	if d.Pair.Node != nil {
		r.Fault(d.Pair.Node, "name the two values with path and pair", "pair belongs to path, and this pick has names")
	}
	p.names, p.except = r.readNames(d.Name), r.readNames(d.Except)
}

func (r reader) readNames(list []yamlfile.Scalar) (names []string) {
	if len(list) > maxNames {
		r.Fault(list[maxNames].Node, "make a second pick", "a pick lists more than %d names", maxNames)
		return nil
	}
	for _, s := range list {
		if remedy := nameFault(s.Value); remedy != "" {
			r.FaultIn(s, 0, remedy, "%q can be the name of no member", s.Value)
			continue
		}
		names = append(names, s.Value)
	}
	return names
}

// compileNamed puts the names of the picks of a mapping into trees.
func (r reader) compileNamed(m *mapping, declared []declaredPick) {
	for i := range m.picks {
		p := &m.picks[i]
		if len(p.names) == 0 {
			continue
		}
		at := slices.IndexFunc(m.named, func(n namedPicks) bool { return n.under == p.path })
		if at < 0 {
			at, m.named = len(m.named), append(m.named, namedPicks{under: p.path})
		}
		n := &m.named[at]
		bytes := 0
		for _, name := range append(slices.Clone(p.names), p.except...) {
			bytes += len(name)
		}
		if len(n.picks) == maxNamed || n.tree.full(bytes) {
			r.Fault(declared[i].Name[0].Node, "make a second mapping", "a mapping has more than %d picks by name, or too many names", maxNamed)
			return
		}
		bit := uint64(1) << len(n.picks)
		n.picks = append(n.picks, i)
		if p.when != nil || m.fallback && p.scan {
			n.asked |= bit
		}
		for held := range p.needs() {
			n.off[held] |= bit
		}
		for _, name := range p.names {
			n.tree.add(name, nameSet{picked: bit})
		}
		for _, name := range p.except {
			n.tree.add(name, nameSet{except: bit})
		}
	}
}

var labelForm = lazily(`^[a-z][a-z0-9_]{0,39}$`)

const (
	maxLabels = 20
	maxLabel  = 256 // bytes
)

// labels returns the labels of a mapping; nil for none.
func (r reader) labels(entries yamlfile.Entries) map[string]string {
	if len(entries) == 0 {
		return nil
	}
	labels := map[string]string{}
	for i, e := range entries {
		switch {
		case i == maxLabels:
			r.Fault(e.Key.Node, "leave some out", "a mapping has more than %d labels", maxLabels)
			return labels
		case !labelForm().MatchString(e.Key.Value):
			r.Fault(e.Key.Node, "use small letters, digits and _, 40 at most", "label %q is not a usable name", e.Key.Value)
		case e.Value.Kind != yaml.ScalarNode || e.Value.Value == "" || len(e.Value.Value) > maxLabel:
			r.Fault(e.Value, "", "label %q must be a text of 1 to %d bytes, not %s", e.Key.Value, maxLabel, yamlfile.KindOf(e.Value))
		}
		labels[e.Key.Value] = e.Value.Value
	}
	return labels
}
