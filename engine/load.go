package engine

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"custom-misp/engine/yamlfile"
)

// An Engine is a set of mappings, checked and compiled. It is immutable and safe for concurrent use. The zero Engine has
// no mappings and picks nothing.
type Engine struct {
	mappings []*mapping
	byID     map[string]*mapping
	paths    *paths
	index    index
	data     *fieldPath // of the object that decoders write to
	groups   *fieldPath
	location *fieldPath
	decoder  *fieldPath
	ignore   *Ignore // nil for nothing
	byName   bool    // a mapping may pick by name, so that a run has to know which paths were picked from
	most     int     // values of an alert that mappings with fallback pick
	runs     sync.Pool
}

// A Mapping describes a loaded mapping to people.
type Mapping struct {
	ID          string
	Description string
	Product     string // the file's "source" key
	File        string
	Line        int
	Replaces    string // the file of the built-in mapping that it replaced; empty if it replaced none
	Fallback    bool   // it applies to what the others leave
	Builtin     bool   // it is part of the program
	Picks       []MappingPick
}

// A MappingPick describes a pick of a loaded mapping to people.
type MappingPick struct {
	Path  string   // for a pick by name, of the object
	Names []string // of members at any depth; empty if Path leads to the value
	Type  Type
	Line  int
	// Whole says that a value is the whole text at the path: nothing is cut from it, and it is not encoded.
	Whole   bool
	Private bool // it also picks what is not public
}

// Load checks and compiles mapping files. If any has a fault, the error is [yamlfile.Faults] with all that were
// found in all files, and the engine holds the mappings of the other files: one broken file never stops the rest.
// A mapping replaces a built-in one with the same id. The engine is never nil.
func Load(sources ...Source) (*Engine, error) {
	e, faults := load(sources, false, nil)
	if len(faults) > 0 {
		return e, faults
	}
	return e, nil
}

// Lint is [Load] for authors: the faults include warnings of what compiles, but probably not as intended.
func Lint(sources ...Source) (*Engine, yamlfile.Faults) { return load(sources, true, nil) }

// LintWith is [Lint] that also warns of groups, decoders and fields that are spelled otherwise in v.
func LintWith(v *Vocabulary, sources ...Source) (*Engine, yamlfile.Faults) {
	return load(sources, true, v)
}

func load(sources []Source, lint bool, v *Vocabulary) (*Engine, yamlfile.Faults) {
	var faults yamlfile.Faults
	packed := 0
	for _, src := range sources {
		packed += len(src.packed)
	}
	e := &Engine{mappings: make([]*mapping, 0, packed), byID: make(map[string]*mapping, packed), paths: newPaths()}
	loaded := twins{}
	for _, src := range sources {
		r := reader{file: src.Name, builtin: src.Builtin, lint: lint, paths: e.paths, vocabulary: v}
		if len(src.packed) > 0 && !lint {
			e.add(r.unpack(src))
			continue
		}
		data, err := src.text()
		if err != nil {
			faults = append(faults, yamlfile.Fault{File: src.Name, Message: err.Error(), Remedy: "the file is left out; let Wazuh's user read it"})
			continue
		}
		r.Reader = yamlfile.NewReader(src.Name, data)
		mappings := r.compile(r.declare())
		for _, m := range mappings {
			if other, taken := e.byID[m.id]; taken && m.id != "" && other.builtin == m.builtin {
				r.FaultAt(m.line, m.column, "give each mapping an id of its own",
					"id %q is already taken in %s:%d", m.id, other.file, other.whole().line)
			}
		}
		if lint {
			r.warnOfTwins(mappings, loaded)
		}
		faults = append(faults, r.Faults()...)
		if !r.Failed() {
			added, replaced := e.add(mappings)
			if lint {
				loaded.update(added, replaced)
			}
		}
	}
	e.seal()
	return e, faults
}

// add adds mappings whose id is new or that of a built-in one, which they replace.
func (e *Engine) add(mappings []*mapping) (added, replaced []*mapping) {
	for _, m := range mappings {
		other, taken := e.byID[m.id]
		switch {
		case !taken:
			e.mappings = append(e.mappings, m)
		case other.builtin:
			m.replaces = other.file
			e.mappings[slices.Index(e.mappings, other)] = m
			replaced = append(replaced, other)
		default:
			continue
		}
		e.byID[m.id] = m
		added = append(added, m)
	}
	return added, replaced
}

// anyProduct begins the ids of mappings that read the fields of whatever product.
const anyProduct = "generic-"

// seal builds the index when all mappings are added. Mappings of no product come last: the first of several that pick a
// value gives the context.
func (e *Engine) seal() {
	slices.SortStableFunc(e.mappings, func(a, b *mapping) int { return cmp.Compare(a.rank(), b.rank()) })
	e.data, e.groups, e.decoder = e.paths.of("data"), e.paths.of("rule.groups"), e.paths.of("decoder.name")
	e.location = e.paths.of("location")
	e.index = newIndex(e.mappings, e.paths)
	for _, m := range e.mappings {
		e.byName = e.byName || m.fallback || len(m.named) > 0 || m.lazy != nil
	}
	e.most = cmp.Or(e.most, MaxFallback)
	e.runs.New = func() any { return newRun(e) }
}

func (m *mapping) rank() int {
	if strings.HasPrefix(m.id, anyProduct) {
		return 1
	}
	return 0
}

// Len returns how many mappings are loaded.
func (e *Engine) Len() int { return len(e.mappings) }

// ReadFS returns the mapping files of a directory tree, sorted by name: every *.yaml and *.yml but the tests
// (*_test.yaml) and names that begin with a dot. Faults name a file with prefix before its name. A file that cannot be
// read is returned too, with the reason.
func ReadFS(fsys fs.FS, prefix string) ([]Source, error) {
	var sources []Source
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasPrefix(d.Name(), ".") && name != "." {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() || !IsMappingFile(name) {
			return nil
		}
		data, err := readMappingFile(fsys, name)
		if p, ok := errors.AsType[*fs.PathError](err); ok {
			err = p.Err
		}
		sources = append(sources, Source{Name: path.Join(prefix, name), Data: data, Err: err})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read mapping files: %w", err)
	}
	return sources, nil
}

// readMappingFile reads a regular file of a directory. Nothing waits for a pipe.
func readMappingFile(fsys fs.FS, name string) ([]byte, error) {
	if st, err := fs.Stat(fsys, name); err == nil && !st.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	return yamlfile.ReadAll(f)
}

// IsMappingFile reports whether a file of this name holds mappings: *.yaml or *.yml, and not *_test.yaml.
func IsMappingFile(name string) bool {
	stem, ok := strings.CutSuffix(name, ".yaml")
	if !ok {
		stem, ok = strings.CutSuffix(name, ".yml")
	}
	return ok && !strings.HasSuffix(stem, "_test")
}

// Required returns the groups and decoders that matches require, sorted, of mappings that were not read from a pack.
func (e *Engine) Required() (groups, decoders []string) {
	for _, m := range e.mappings {
		for _, set := range m.needs {
			for _, k := range set {
				switch k.kind {
				case keyGroup:
					groups = append(groups, k.name)
				case keyDecoder:
					decoders = append(decoders, k.name)
				case keyObject, keyMember, keyField:
				}
			}
		}
	}
	slices.Sort(groups)
	slices.Sort(decoders)
	return slices.Compact(groups), slices.Compact(decoders)
}

// Mappings lists what is loaded, in the order of the files.
func (e *Engine) Mappings() []Mapping {
	list := make([]Mapping, 0, len(e.mappings))
	for _, m := range e.mappings {
		m = m.whole()
		d := Mapping{ID: m.id, Description: m.description, Product: m.source, File: m.file, Line: m.line, Replaces: m.replaces, Fallback: m.fallback, Builtin: m.builtin}
		for _, p := range m.picks {
			d.Picks = append(d.Picks, MappingPick{Path: p.path.text, Names: slices.Clone(p.names), Type: p.typ, Line: p.line, Whole: p.isWhole(), Private: p.private})
		}
		list = append(list, d)
	}
	return slices.Clip(list)
}

// isWhole reports whether a value is the whole text at the path.
func (p *pick) isWhole() bool {
	return p.split == "" && p.prefix == "" && p.part == "" && p.regex == nil && len(p.decode) == 0 && p.pair == nil && !p.scan
}
