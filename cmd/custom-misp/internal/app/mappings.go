package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine"
	"custom-misp/engine/atomicfile"
	"custom-misp/engine/yamlfile"
	"custom-misp/mappings"
)

// Mappings returns the mapping files that the configuration asks for, and those that are named besides. Errors are
// [cli.WrongUse].
func Mappings(c *config.Config, named ...string) ([]engine.Source, error) {
	var sources []engine.Source
	if c.Mappings.Builtin {
		sources = engine.ReadPack(mappings.Pack, mappings.FS, "mappings")
	}
	for _, dir := range c.Mappings.Dirs {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) && c.Mappings.MayBeAbsent {
			continue
		}
		found, err := readMappings(dir, readRegular)
		if err != nil {
			return nil, cli.WrongUsef("mappings.dirs: %w", err)
		}
		sources = append(sources, found...)
	}
	for _, name := range named {
		found, err := ReadMappings(name)
		if err != nil {
			return nil, cli.WrongUse{Err: err}
		}
		sources = append(sources, found...)
	}
	return sources, nil
}

// ReadMappings reads a mapping file that a person names, or those of a directory.
func ReadMappings(name string) ([]engine.Source, error) { return readMappings(name, cli.ReadNamed) }

func readRegular(name string) ([]byte, error) { return atomicfile.ReadRegular(name, cli.MaxFile) }

func readMappings(name string, read func(string) ([]byte, error)) ([]engine.Source, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		return engine.ReadFS(atomicfile.DirFS(name), filepath.ToSlash(name))
	}
	data, err := read(name)
	if err != nil {
		return nil, err
	}
	return []engine.Source{{Name: filepath.ToSlash(name), Data: data}}, nil
}

// Compile loads mapping files without the site's filter; see [engine.Load] for the error.
func Compile(sources []engine.Source) (*engine.Engine, error) { return engine.Load(sources...) }

// Lint loads mapping files and returns everything that is wrong or doubtful in them. seen has the names in alerts that are
// known to be right besides those of the built-in mappings, as lines of a vocabulary; it may be empty.
func Lint(sources []engine.Source, seen string) (*engine.Engine, yamlfile.Faults) {
	return engine.LintWith(engine.ParseVocabulary(mappings.Vocabulary+seen), sources...)
}

// Engine loads the mappings that the configuration asks for, and those that are named besides, and takes out what the
// site ignores. Faults of mapping files are returned apart: those files are left out. With an error there is no engine:
// without the site's filter, values would leave the site that must not.
func Engine(c *config.Config, named ...string) (*engine.Engine, yamlfile.Faults, error) {
	sources, err := Mappings(c, named...)
	site, siteErr := readSite(c)
	if err := errors.Join(err, siteErr); err != nil {
		return nil, nil, err
	}
	e, err := engine.Load(sources...)
	faults, ok := errors.AsType[yamlfile.Faults](err)
	if err != nil && !ok {
		return nil, nil, err
	}
	e, err = e.For(site)
	if err != nil && len(faults) == 0 { // a file with faults may hold the mapping that is not there
		return nil, nil, cli.WrongUsef("mappings.disable: %w; see custom-misp mappings", err)
	}
	return e, faults, nil
}

// readSite reads what the site leaves out.
func readSite(c *config.Config) (engine.Site, error) {
	site := engine.Site{Disable: c.Mappings.Disable, MaxFallback: c.Fallback.MaxValues}
	if site.MaxFallback == 0 {
		site.MaxFallback = -1
	}
	entries := slices.Clone(c.Ignore.Values)
	var errs []error
	for _, name := range c.Ignore.Files {
		lines, err := readIgnoreFile(name)
		if err != nil {
			errs = append(errs, cli.WrongUsef("ignore.files: %w; until it is corrected nothing is looked up", err))
		}
		entries = append(entries, lines...)
	}
	if len(errs) > 0 {
		return site, errors.Join(errs...)
	}
	if len(entries) == 0 {
		return site, nil
	}
	var err error
	if site.Ignore, err = engine.NewIgnore(entries); err != nil {
		return site, cli.WrongUsef("ignore.values: %w; until it is corrected nothing is looked up", err)
	}
	return site, nil
}

// readIgnoreFile returns the lines of a file; the error names the first line that is wrong.
func readIgnoreFile(name string) ([]string, error) {
	data, err := readRegular(name)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(string(data), "\n")
	if _, err := engine.NewIgnore(lines); err == nil {
		return lines, nil
	}
	for i, line := range lines {
		if _, err := engine.NewIgnore([]string{line}); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, i+1, err)
		}
	}
	return lines, nil
}
