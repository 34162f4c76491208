package engine

import (
	"fmt"
	"path"
	"strings"
	"sync"

	"custom-misp/engine/yamlfile"
)

// This file lets a process that lives for one alert read only the mapping files that the alert can reach. An outline
// is a text with a line for each mapping: its file, its id, and the sets of anchors that it needs, with tabs between
// them. It is made from the files ([Engine.Outline]) and kept beside them.

const betweenAnchors = " | "

// Outline returns the outline of all mappings.
func (e *Engine) Outline() (string, error) {
	var b strings.Builder
	for _, m := range e.mappings {
		columns := []string{path.Base(m.file), m.id}
		for _, set := range m.needs {
			words := make([]string, 0, len(set))
			for _, a := range set {
				word := string(a.kind) + ":" + a.name
				if a.kind == anchorField {
					word += "=" + a.text
				}
				if strings.ContainsAny(word, "\t\r\n") || strings.Contains(word, betweenAnchors) || strings.Contains(a.name, "=") {
					return "", fmt.Errorf("mapping %q: %s cannot be written into an outline", m.id, a)
				}
				words = append(words, word)
			}
			columns = append(columns, strings.Join(words, betweenAnchors))
		}
		b.WriteString(strings.Join(columns, "\t") + "\n")
	}
	return b.String(), nil
}

// WithOutline gives mapping files the outline that was made from them: [Load] does not read what it describes, the
// first alert that can match does.
func WithOutline(sources []Source, outline string) []Source {
	byFile := map[string][]*mapping{}
	for line := range strings.Lines(outline) {
		columns := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(columns) < 2 {
			continue
		}
		m := &mapping{id: columns[1]}
		for _, words := range columns[2:] {
			var set []anchor
			for word := range strings.SplitSeq(words, betweenAnchors) {
				kind, name, _ := strings.Cut(word, ":")
				a := anchor{kind: anchorKind(kind), name: name}
				if a.kind == anchorField {
					a.name, a.text, _ = strings.Cut(name, "=")
				}
				set = append(set, a)
			}
			m.needs = append(m.needs, set)
		}
		byFile[columns[0]] = append(byFile[columns[0]], m)
	}
	outlined := make([]Source, len(sources))
	for i, src := range sources {
		src.outline = byFile[path.Base(src.Name)]
		outlined[i] = src
	}
	return outlined
}

// outlined returns the mappings of a file, which is read when one of them is asked for the rest.
func (r reader) outlined(src Source) []*mapping {
	read := sync.OnceValue(func() map[string]*mapping {
		r.Reader = yamlfile.NewReader(src.Name, src.Data)
		byID := map[string]*mapping{}
		for _, m := range r.compile(r.declare()) {
			byID[m.id] = m
		}
		if r.Failed() {
			return nil
		}
		return byID
	})
	mappings := make([]*mapping, 0, len(src.outline))
	for _, o := range src.outline {
		m := &mapping{id: o.id, needs: o.needs, file: src.Name, builtin: src.Builtin}
		m.rest = func() *mapping {
			if whole := read()[m.id]; whole != nil {
				return whole
			}
			return &mapping{id: m.id, file: m.file, builtin: m.builtin, match: failing(
				fmt.Errorf("%s holds no such mapping; the outline was made from other files", m.file))}
		}
		mappings = append(mappings, m)
	}
	return mappings
}

// whole returns the mapping with all that its file says of it.
func (m *mapping) whole() *mapping {
	if m.rest == nil {
		return m
	}
	return m.rest()
}
