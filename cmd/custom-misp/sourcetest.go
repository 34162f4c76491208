package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine"
	"custom-misp/engine/yamlfile"
	"custom-misp/misp/source"
)

// declaresSources matches the key that a file of sources begins with, beside its version.
var declaresSources = regexp.MustCompile(`(?m)^["']?(?:sources|servers)["']?\s*:`)

// sourceFiles takes the files of sources out of what is named: files, and those in directories. rest is what else is
// named; a directory stays in it, unless it holds files of sources alone.
func sourceFiles(args []string) (files []source.File, rest []string, err error) {
	for _, arg := range args {
		names, err := yamlFiles(arg)
		if err != nil {
			return nil, nil, cli.WrongUse{Err: err}
		}
		found := 0
		for _, name := range names {
			data, err := readRegular(name) // a pipe can be read once: it is a mapping file
			if err == nil && declaresSources.Match(data) {
				files = append(files, source.File{Name: filepath.ToSlash(name), Data: data})
				found++
			}
		}
		if found == 0 || found < len(names) {
			rest = append(rest, arg)
		}
	}
	return files, rest, nil
}

// yamlFiles returns a file, or the *.yaml and *.yml below a directory.
func yamlFiles(name string) (names []string, err error) {
	st, err := os.Stat(name)
	if err != nil || !st.IsDir() {
		return []string{name}, err
	}
	err = filepath.WalkDir(name, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && (filepath.Ext(name) == ".yaml" || filepath.Ext(name) == ".yml") {
			names = append(names, name)
		}
		return err
	})
	return names, err
}

// withoutSources leaves files of sources out of mapping files.
func withoutSources(sources []engine.Source) []engine.Source {
	var mappings []engine.Source
	for _, s := range sources {
		if !declaresSources.Match(s.Data) {
			mappings = append(mappings, s)
		}
	}
	return mappings
}

// lintSources returns the faults of files of sources: the named ones, or with a configuration those that it asks for.
func lintSources(c *config.Config, files []source.File) (yamlfile.Faults, error) {
	if c != nil {
		declared, faults, err := app.Sources(c)
		return append(faults, app.SourceWarnings(c, declared)...), err
	}
	_, faults := app.LintSources(nil, files)
	return faults, nil
}

// testSourceFiles runs the tests of files of sources.
func testSourceFiles(ctx context.Context, s cli.Streams, files []source.File, only *regexp.Regexp) error {
	failed, passed := 0, 0
	for _, f := range files {
		results, faults := source.RunTests(ctx, f, time.Now(), func(name string) ([]byte, error) {
			return readRegular(filepath.Join(filepath.Dir(f.Name), name))
		})
		if len(faults) > 0 {
			failed += cli.PrintFaults(s.Err, faults)
		}
		for _, r := range results {
			if !only.MatchString(r.Source) {
				continue
			}
			if len(r.Failures) == 0 {
				passed++
				continue
			}
			failed++
			fmt.Fprintf(s.Out, "FAIL %s:%d %s\n  %s\n", cli.Clean(r.File), r.Line, cli.Clean(r.Source), cli.Clean(strings.Join(r.Failures, "; ")))
		}
	}
	fmt.Fprintf(s.Out, "%s of sources passed, %d failed\n", cli.Plural(passed, "test"), failed)
	if failed > 0 {
		return cli.ErrReported
	}
	return nil
}
