package mappingtest

import (
	"maps"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"custom-misp/engine"
)

// A Vocabulary collects the names of groups, decoders and fields that alerts have, and no value. The zero Vocabulary is
// empty.
type Vocabulary struct{ lines map[string]bool }

const (
	maxNameDepth = 12  // levels of objects whose names are kept
	maxMembers   = 400 // of one object; one with more is a list by values of an alert
)

func (v *Vocabulary) line(word, name string) {
	if name == "" || strings.ContainsAny(name, "\t\r\n") {
		return
	}
	if v.lines == nil {
		v.lines = map[string]bool{}
	}
	v.lines[word+"\t"+name] = true
}

// Add adds the names of an alert.
func (v *Vocabulary) Add(alert []byte) {
	a := gjson.ParseBytes(alert)
	a.Get("rule.groups").ForEach(func(_, g gjson.Result) bool {
		v.line("group", strings.TrimSpace(g.String()))
		return true
	})
	v.line("decoder", a.Get("decoder.name").String())
	v.fields("", a, 0)
}

func (v *Vocabulary) fields(path string, value gjson.Result, depth int) {
	if value.IsArray() {
		value.ForEach(func(_, item gjson.Result) bool {
			if item.IsObject() && depth < maxNameDepth {
				v.fields(path+".#", item, depth+1)
			}
			return true
		})
		return
	}
	if !value.IsObject() || depth >= maxNameDepth || len(value.Map()) > maxMembers {
		return
	}
	value.ForEach(func(key, inner gjson.Result) bool {
		step := escapeKey(key.Str)
		if _, _, indicator := engine.Recognise(key.Str); indicator || step == "" {
			return true // a value of the alert
		}
		name := strings.TrimPrefix(path+"."+step, ".")
		if inner.Type != gjson.Null {
			v.line("field", name)
		}
		v.fields(name, inner, depth+1)
		return true
	})
}

// AddMappings adds the ids and fields of mappings that are part of the program.
func (v *Vocabulary) AddMappings(mappings []engine.Mapping) {
	for _, m := range mappings {
		columns := []string{m.ID, m.File}
		for _, p := range m.Picks {
			columns = append(columns, p.Path)
			if !strings.ContainsAny(p.Path, "*?()[]{}|") {
				v.line("field", p.Path)
			}
		}
		if v.lines == nil {
			v.lines = map[string]bool{}
		}
		v.lines["mapping\t"+strings.Join(columns, "\t")] = true
	}
}

// AddKey adds a group or decoder that a mapping names.
func (v *Vocabulary) AddKey(word, name string) { v.line(word, name) }

// String returns the file that [engine.ParseVocabulary] reads, sorted.
func (v *Vocabulary) String() string {
	var b strings.Builder
	for _, line := range slices.Sorted(maps.Keys(v.lines)) {
		b.WriteString(line + "\n")
	}
	return b.String()
}
