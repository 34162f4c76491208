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
// text with a line for each mapping: its file, its id, its match in quotes, and the sets of index keys that it requires,
// with tabs between them. It is made from the files ([Engine.Outline]) and stored beside them.

const betweenKeys = " | "

// Outline returns the outline of all mappings.
func (e *Engine) Outline() (string, error) {
	var b strings.Builder
	for _, m := range e.mappings {
		columns := []string{path.Base(m.file), m.id, strconv.Quote(m.match.source)}
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

// described is a line of an outline.
type described struct {
	id    string
	match string // in quotes
	needs needs
}

// WithOutline returns mapping files with the outline that was made from them. [Load] does not parse the files that the
// outline describes: that waits for the first alert that can match.
func WithOutline(sources []Source, outline string) []Source {
	// All keys and sets lie in two arrays: every call reads all of the outline, most often for a single alert.
	tabs := strings.Count(outline, "\t")
	keys := make([]indexKey, 0, tabs+strings.Count(outline, betweenKeys))
	sets := make([][]indexKey, 0, tabs)
	byFile := make(map[string][]described, len(sources))
	for line := range strings.Lines(outline) {
		file, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		id, rest, _ := strings.Cut(rest, "\t")
		match, rest, more := strings.Cut(rest, "\t")
		if match == "" {
			continue
		}
		firstSet := len(sets)
		for more {
			var words string
			words, rest, more = strings.Cut(rest, "\t")
			firstKey := len(keys)
			for another := true; another; {
				var word string
				word, words, another = strings.Cut(words, betweenKeys)
				kind, name, _ := strings.Cut(word, ":")
				a := indexKey{kind: keyKind(kind), name: name}
				if a.kind == keyField {
					a.name, a.text, _ = strings.Cut(name, "=")
				}
				keys = append(keys, a)
			}
			sets = append(sets, keys[firstKey:len(keys):len(keys)])
		}
		byFile[file] = append(byFile[file], described{id, match, sets[firstSet:len(sets):len(sets)]})
	}
	outlined := make([]Source, len(sources))
	for i, src := range sources {
		src.outline = byFile[path.Base(src.Name)]
		outlined[i] = src
	}
	return outlined
}

// outlinedFile is a mapping file that is parsed when the first of its mappings matches an alert.
type outlinedFile struct {
	reader reader
	source Source
	once   sync.Once
	mu     sync.Mutex // held while a mapping is compiled
	file   declaredFile
}

// outlinedMapping is what an outline does not say of a mapping: its match is compiled when an alert can match, the rest
// when one does.
type outlinedMapping struct {
	described
	file        *outlinedFile
	early, rest sync.Once
	condition   *program
	whole       *mapping
}

// outlined returns the mappings of a file.
func (r reader) outlined(src Source) []*mapping {
	file := &outlinedFile{reader: r, source: src}
	outlined := make([]outlinedMapping, len(src.outline))
	mappings := make([]mapping, len(src.outline))
	pointers := make([]*mapping, len(src.outline))
	for i, o := range src.outline {
		outlined[i].described, outlined[i].file = o, file
		mappings[i] = mapping{id: o.id, needs: o.needs, file: src.Name, builtin: src.Builtin, outlined: &outlined[i]}
		pointers[i] = &mappings[i]
	}
	return pointers
}

func (o *outlinedMapping) compileMatch() {
	o.condition = failing(errOutline)
	source, err := strconv.Unquote(o.match)
	if err != nil {
		return
	}
	if p, _, err := parseProgram(source, matchNames, o.file.reader.paths); err == nil {
		o.condition = p
	}
}

func (o *outlinedMapping) compile() {
	f := o.file
	f.once.Do(func() {
		f.reader.Reader = yamlfile.NewReader(f.source.Name, f.source.Data)
		f.file = f.reader.declare()
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.file.Mappings, func(d declaredMapping) bool { return d.ID.Value == o.id })
	if i < 0 || strconv.Quote(strings.TrimSpace(f.file.Mappings[i].Match.Value)) != o.match {
		o.whole = &mapping{id: o.id, file: f.source.Name, builtin: f.source.Builtin, match: failing(errOutline)}
		return
	}
	o.whole = f.reader.compileMapping(f.file.Mappings[i])
	o.whole.source = f.file.Source.Value
}

var errOutline = errors.New("the outline was made from other files")

// condition returns the program of match.
func (m *mapping) condition() *program {
	if m.outlined == nil {
		return m.match
	}
	m.outlined.early.Do(m.outlined.compileMatch)
	return m.outlined.condition
}

// whole returns the mapping with everything that its file declares.
func (m *mapping) whole() *mapping {
	if m.outlined == nil {
		return m
	}
	m.outlined.rest.Do(m.outlined.compile)
	return m.outlined.whole
}
