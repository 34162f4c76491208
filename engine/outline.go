package engine

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"custom-misp/engine/yamlfile"
)

// This file lets a process that runs for one alert read only the mapping files that can match the alert. An outline is a
// text with a line for each mapping: its file, its id, whether it is a fallback, its match in quotes, and the sets of index keys
// that it requires, with tabs between them. It is made from the files ([Engine.Outline]) and stored beside them.

const (
	betweenKeys = " | "
	noFlag      = "-"
	isFallback  = "fallback"
)

// Outline returns the outline of all mappings.
func (e *Engine) Outline() (string, error) {
	var b strings.Builder
	for _, m := range e.mappings {
		flag := noFlag
		if m.fallback {
			flag = isFallback
		}
		columns := []string{path.Base(m.file), m.id, flag, strconv.Quote(m.match.source)}
		for _, set := range m.needs {
			words := make([]string, 0, len(set))
			for _, a := range set {
				word := string(a.kind) + ":" + a.name
				if a.kind == keyField {
					word += "=" + a.text
				}
				if strings.ContainsAny(word, "\t\r\n") || strings.Contains(word, betweenKeys) || strings.Contains(a.name, "=") {
					return "", fmt.Errorf("mapping %q: %s cannot be written into an outline", m.id, a)
				}
				words = append(words, word)
			}
			columns = append(columns, strings.Join(words, betweenKeys))
		}
		b.WriteString(strings.Join(columns, "\t") + "\n")
	}
	return b.String(), nil
}

// WithOutline returns mapping files with the outline that was made from them. [Load] does not parse the files that the
// outline describes: that waits for the first alert that can match.
func WithOutline(sources []Source, outline string) []Source {
	byFile := map[string][]*mapping{}
	for line := range strings.Lines(outline) {
		columns := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(columns) < 4 {
			continue
		}
		match, err := strconv.Unquote(columns[3])
		if err != nil {
			continue
		}
		m := &mapping{id: columns[1], fallback: columns[2] == isFallback, match: &program{source: match}}
		for _, words := range columns[4:] {
			var set []indexKey
			for word := range strings.SplitSeq(words, betweenKeys) {
				kind, name, _ := strings.Cut(word, ":")
				a := indexKey{kind: keyKind(kind), name: name}
				if a.kind == keyField {
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

// outlined returns the mappings of a file. The file is parsed when the first of them matches an alert, and each mapping
// is compiled when it first does.
func (r reader) outlined(src Source) []*mapping {
	read := sync.OnceValue(func() declaredFile {
		r.Reader = yamlfile.NewReader(src.Name, src.Data)
		f := r.declare()
		r.defined = r.define(f.Define)
		return f
	})
	var mu sync.Mutex
	mappings := make([]*mapping, 0, len(src.outline))
	for _, o := range src.outline {
		m := &mapping{id: o.id, needs: o.needs, file: src.Name, builtin: src.Builtin, fallback: o.fallback}
		m.early = sync.OnceValue(func() *program {
			if p, _, err := parseProgram(o.match.source, matchNames, r.paths); err == nil {
				return p
			}
			return failing(errOutline)
		})
		m.rest = sync.OnceValue(func() *mapping {
			mu.Lock()
			defer mu.Unlock()
			f := read()
			i := slices.IndexFunc(f.Mappings, func(d declaredMapping) bool { return d.ID.Value == m.id })
			if i < 0 || !sameMatch(r, f.Mappings[i], o) {
				return &mapping{id: m.id, file: m.file, builtin: m.builtin, match: failing(errOutline)}
			}
			whole := r.compileMapping(f.Mappings[i])
			whole.source = f.Source.Value
			return whole
		})
		mappings = append(mappings, m)
	}
	return mappings
}

// sameMatch reports whether an outline says of a mapping what its file does.
func sameMatch(r reader, d declaredMapping, o *mapping) bool {
	match, _ := r.defined.expand(d.Match.Value)
	return strings.TrimSpace(match) == o.match.source
}

var errOutline = errors.New("the outline was made from other files")

// condition returns the program of match.
func (m *mapping) condition() *program {
	if m.early == nil {
		return m.match
	}
	return m.early()
}

// whole returns the mapping with everything that its file declares.
func (m *mapping) whole() *mapping {
	if m.rest == nil {
		return m
	}
	return m.rest()
}
