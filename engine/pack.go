package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"sync"

	"custom-misp/engine/yamlfile"
)

// This file lets a process that runs for one alert read only those mappings that can match the alert, and no YAML. A pack is a
// text that is made from mapping files ([Pack]) and stored beside them. It has a line for each mapping: its file, its id, whether
// it is a fallback, the length of its declaration, and the index keys under one of which an alert finds it, with tabs between them.
// Behind an empty line follow the declarations in the same order, each in its compact form, with a line break behind it.

const (
	betweenKeys = " | "
	noFlag      = "-"
	isFallback  = "fallback"
)

// packedDeclaration is the declaration of a mapping in a pack.
type packedDeclaration struct {
	Source  yamlfile.Scalar  `key:"source"`
	Mapping *declaredMapping `key:"mapping"`
}

// Pack returns the pack of mapping files.
func Pack(sources ...Source) (string, error) {
	e, err := Load(sources...)
	if err != nil {
		return "", err
	}
	keys := map[string][]indexKey{}
	for i, m := range e.mappings {
		keys[m.id] = e.index.keys[i]
	}
	var lines, declarations strings.Builder
	for _, src := range sources {
		r := reader{Reader: yamlfile.NewReader(src.Name, src.Data), file: src.Name}
		f := r.declare()
		r.defined = r.define(f.Define)
		for _, d := range f.Mappings {
			r.expandAll(&d)
			declaration := yamlfile.Compact(packedDeclaration{f.Source, &d})
			flag := noFlag
			if d.Fallback != nil && *d.Fallback {
				flag = isFallback
			}
			columns := []string{path.Base(src.Name), d.ID.Value, flag, strconv.Itoa(len(declaration))}
			words := make([]string, 0, len(keys[d.ID.Value]))
			for _, k := range keys[d.ID.Value] {
				word, err := k.packed()
				if err != nil {
					return "", fmt.Errorf("mapping %q: %w", d.ID.Value, err)
				}
				words = append(words, word)
			}
			lines.WriteString(strings.Join(append(columns, strings.Join(words, betweenKeys)), "\t") + "\n")
			declarations.WriteString(declaration + "\n")
		}
	}
	return lines.String() + "\n" + declarations.String(), nil
}

// expandAll replaces the names of define in the expressions of a mapping.
func (r reader) expandAll(d *declaredMapping) {
	expand := func(s *yamlfile.Scalar) { s.Value, _ = r.defined.expand(s.Value) }
	expand(&d.Match)
	for i := range d.Pick {
		expand(&d.Pick[i].When)
		expand(&d.Pick[i].Keep)
	}
}

func (k indexKey) packed() (string, error) {
	word := string(k.kind) + ":" + k.name
	if k.kind == keyField {
		word += "=" + k.text
	}
	if strings.ContainsAny(word, "\t\r\n") || strings.Contains(word, betweenKeys) || strings.Contains(k.name, "=") {
		return "", fmt.Errorf("%s cannot be written into a pack", k)
	}
	return word, nil
}

// packedMapping is a mapping in a pack.
type packedMapping struct {
	id          string
	fallback    bool
	needs       needs
	declaration string
}

// ReadPack returns the mapping files that a pack was made from, which are part of the program. [Load] takes them from the pack,
// a mapping when the first alert can match it, and reads no file; [Lint] reads them in fsys. Names in faults begin with prefix.
func ReadPack(pack string, fsys fs.FS, prefix string) []Source {
	lines, declarations, _ := strings.Cut(pack, "\n\n")
	// All keys and sets lie in two arrays: every call reads all lines, most often for a single alert.
	mappings := strings.Count(lines, "\n") + 1
	keys := make([]indexKey, 0, mappings+strings.Count(lines, betweenKeys))
	sets := make([][]indexKey, 0, mappings)
	packed := make([]packedMapping, 0, mappings)
	var sources []Source
	for line := range strings.Lines(lines) {
		file, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		id, rest, _ := strings.Cut(rest, "\t")
		flag, rest, _ := strings.Cut(rest, "\t")
		length, words, _ := strings.Cut(rest, "\t")
		m := packedMapping{id: id, fallback: flag == isFallback}
		if n, err := strconv.Atoi(length); err == nil && n >= 0 && n < len(declarations) {
			m.declaration, declarations = declarations[:n], declarations[n+1:]
		}
		if words != "" {
			first := len(keys)
			for word := range strings.SplitSeq(words, betweenKeys) {
				kind, name, _ := strings.Cut(word, ":")
				k := indexKey{kind: keyKind(kind), name: name}
				if k.kind == keyField {
					k.name, k.text, _ = strings.Cut(name, "=")
				}
				keys = append(keys, k)
			}
			sets = append(sets, keys[first:len(keys):len(keys)])
			m.needs = sets[len(sets)-1 : len(sets) : len(sets)]
		}
		packed = append(packed, m)
		name := path.Join(prefix, file)
		if n := len(sources); n > 0 && sources[n-1].Name == name {
			s := &sources[n-1]
			s.packed = packed[len(packed)-len(s.packed)-1 : len(packed) : len(packed)]
			continue
		}
		sources = append(sources, Source{Name: name, Builtin: true, fsys: fsys, packed: packed[len(packed)-1 : len(packed) : len(packed)]})
	}
	return sources
}

// text returns the text of a file.
func (s *Source) text() ([]byte, error) {
	if s.Err != nil || s.fsys == nil {
		return s.Data, s.Err
	}
	return readMappingFile(s.fsys, path.Base(s.Name))
}

// lazyMapping is what is not known of a mapping in a pack before it is needed: its match when an alert can match, the rest when
// one does.
type lazyMapping struct {
	packedMapping
	reader      reader
	early, rest sync.Once
	declared    packedDeclaration
	condition   *program
	whole       *mapping
}

// unpack returns the mappings of a file.
func (r reader) unpack(src Source) []*mapping {
	lazy := make([]lazyMapping, len(src.packed))
	mappings := make([]mapping, len(src.packed))
	pointers := make([]*mapping, len(src.packed))
	r.packed = true
	for i, p := range src.packed {
		lazy[i].packedMapping, lazy[i].reader = p, r
		mappings[i] = mapping{id: p.id, needs: p.needs, file: src.Name, builtin: src.Builtin, fallback: p.fallback, lazy: &lazy[i]}
		pointers[i] = &mappings[i]
	}
	return pointers
}

var errPack = errors.New("the pack of mappings was made by another version of the program")

func (l *lazyMapping) compileMatch() {
	l.condition = failing(errPack)
	if yamlfile.Restore(l.declaration, &l.declared) == nil && l.declared.Mapping != nil && l.declared.Mapping.ID.Value == l.id {
		l.condition = lazyProgram(l.declared.Mapping.Match.Value, matchNames, l.reader.paths)
	}
}

func (l *lazyMapping) compile() {
	l.early.Do(l.compileMatch)
	l.whole = &mapping{id: l.id, file: l.reader.file, builtin: l.reader.builtin}
	if d := l.declared.Mapping; d != nil {
		l.reader.Reader = yamlfile.NewReader(l.reader.file, nil)
		l.whole = l.reader.compileMapping(*d)
		l.whole.source = l.declared.Source.Value
	}
	l.whole.match = l.condition
	l.declared = packedDeclaration{}
}

// condition returns the program of match.
func (m *mapping) condition() *program {
	if m.lazy == nil {
		return m.match
	}
	m.lazy.early.Do(m.lazy.compileMatch)
	return m.lazy.condition
}

// whole returns the mapping with everything that its file declares.
func (m *mapping) whole() *mapping {
	if m.lazy == nil {
		return m
	}
	m.lazy.rest.Do(m.lazy.compile)
	return m.lazy.whole
}
