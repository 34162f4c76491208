package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine"
	"custom-misp/engine/mappingtest"
	"custom-misp/engine/yamlfile"
)

func newLint(s cli.Streams, g *globals) *cobra.Command {
	var output string
	var strict bool
	cmd := &cobra.Command{
		Use:   "lint [FILE|DIR...]",
		Short: "Check mapping files, files of sources, and the configuration",
		Long: `Check mapping files and the tests beside them, without an alert. All faults are reported in one run, each with file,
line, column and a remedy. Warnings name what compiles, but probably not as intended: a mapping that every alert meets
or no alert can match, one that does the same as another, a pick that no test exercises.

Files of sources are checked too.

Without arguments, check the built-in and the configured mappings, and report everything that keeps a call by
integratord from looking alerts up.

Exit code 1 on faults, with --strict also on warnings. Exit code 2 if the configuration is wrong.`,
		Example: `  custom-misp lint
  custom-misp lint --strict /var/ossec/etc/custom-misp/mappings my-mapping.yaml
  custom-misp lint --output github mappings        # annotations in a GitHub workflow
  custom-misp lint --output sarif mappings > lint.sarif`,
		RunE: func(_ *cobra.Command, args []string) error {
			declared, rest, err := sourceFiles(args)
			if err != nil {
				return err
			}
			if len(declared) > 0 && len(rest) == 0 {
				faults, err := lintSources(nil, declared)
				if err != nil {
					return err
				}
				if err := writeFaults(s, output, faults, len(declared), 0); err != nil || len(faults) == 0 {
					return err
				}
				return cli.ErrReported
			}
			c, sources, err := authorSources(*g, rest)
			var unusable error
			if c != nil {
				unusable = checkBuild(c) // with what err says, and more
			}
			if err = cmp.Or(unusable, err); sources == nil && err != nil {
				return err
			}
			tests := testsOf(sources, rest)
			e, faults := app.Lint(sources, tests.vocabulary())
			ofSources, err := lintSources(c, declared)
			if err != nil {
				return err
			}
			faults = append(faults, ofSources...)
			faults = append(faults, tests.lint(e, faults)...)
			if err := writeFaults(s, output, faults, len(sources), len(e.Mappings())); err != nil {
				return err
			}
			if strict && len(faults) > 0 || slices.ContainsFunc(faults, func(f yamlfile.Fault) bool { return !f.Warning }) {
				return cmp.Or(unusable, cli.ErrReported)
			}
			return unusable
		},
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "exit with code 1 also on warnings")
	outputFlag(cmd, &output, "table", "table", "json", "sarif", "github")
	return cmd
}

// lintedTests are the tests of the mapping files that lint checks.
type lintedTests struct {
	cases  []mappingtest.Case
	faults yamlfile.Faults
	files  bool // mapping files were named
}

// testsOf reads the tests of mapping files that lie on disk.
func testsOf(sources []engine.Source, named []string) lintedTests {
	if len(named) == 0 {
		return lintedTests{} // the built-in mappings are tested where they are built
	}
	t := lintedTests{files: true}
	for _, src := range sources {
		stem := strings.TrimSuffix(src.Name, filepath.Ext(src.Name))
		files := []engine.Source{src}
		if data, err := readRegular(stem + "_test" + filepath.Ext(src.Name)); err == nil {
			files = append(files, engine.Source{Name: stem + "_test" + filepath.Ext(src.Name), Data: data})
		}
		for _, f := range files {
			cases, err := mappingtest.Load(f, readRegular)
			if found, ok := errors.AsType[yamlfile.Faults](err); ok {
				t.faults = append(t.faults, found...)
			}
			t.cases = append(t.cases, cases...)
		}
	}
	return t
}

// vocabulary returns the names in the alerts of the tests: their author has seen them.
func (t lintedTests) vocabulary() string {
	var v mappingtest.Vocabulary
	for _, c := range t.cases {
		if len(c.Want) > 0 { // others may have names changed on purpose
			v.Add(c.Alert)
		}
	}
	return v.String()
}

// lint returns the faults of the tests that are not among those found, and warnings of picks that no test exercises.
func (t lintedTests) lint(e *engine.Engine, found yamlfile.Faults) yamlfile.Faults {
	if !t.files {
		return nil
	}
	var faults yamlfile.Faults
	for _, f := range t.faults {
		if !slices.ContainsFunc(found, func(o yamlfile.Fault) bool { return o.File == f.File && o.Line == f.Line && o.Message == f.Message }) {
			faults = append(faults, f)
		}
	}
	results := make([]mappingtest.Result, 0, len(t.cases))
	for _, c := range t.cases {
		results = append(results, mappingtest.Run(e, c))
	}
	return append(faults, mappingtest.Unexercised(e, results)...)
}

// writeFaults writes what lint found in the form asked for.
func writeFaults(s cli.Streams, output string, faults yamlfile.Faults, files, mappings int) error {
	switch output {
	case "json":
		return cli.WriteJSON(s.Out, append(yamlfile.Faults{}, faults...))
	case "sarif":
		return writeSARIF(s.Out, faults)
	case "github":
		for _, f := range faults {
			fmt.Fprintf(s.Out, "::%s file=%s,line=%d,col=%d::%s\n", level(f), escapeProperty(cli.Clean(f.File)), f.Line, f.Column, escapeData(cli.Clean(f.Sentence())))
		}
		return nil
	}
	cli.PrintFaults(s.Out, faults)
	wrong := map[string]bool{}
	count := map[bool]int{}
	for _, f := range faults {
		wrong[f.File] = true
		count[f.Warning]++
	}
	summary := "no faults"
	switch {
	case count[false] > 0 && count[true] > 0:
		summary = cli.Plural(count[false], "fault") + " and " + cli.Plural(count[true], "warning")
	case count[false] > 0:
		summary = cli.Plural(count[false], "fault")
	case count[true] > 0:
		summary = "no faults, " + cli.Plural(count[true], "warning")
	}
	if len(faults) > 0 {
		fmt.Fprintf(s.Out, "%s in %s\n", summary, cli.Plural(len(wrong), "file"))
	} else {
		fmt.Fprintf(s.Out, "%s with %s, no faults\n", cli.Plural(files, "file"), cli.Plural(mappings, "mapping"))
	}
	return nil
}

func level(f yamlfile.Fault) string {
	if f.Warning {
		return "warning"
	}
	return "error"
}

// escapeData and escapeProperty write texts into GitHub's workflow commands.
func escapeData(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

func escapeProperty(s string) string {
	return strings.NewReplacer(":", "%3A", ",", "%2C").Replace(escapeData(s))
}

// writeSARIF writes SARIF 2.1.0, which code scanning services read.
func writeSARIF(w io.Writer, faults yamlfile.Faults) error {
	type object = map[string]any
	results := []object{}
	for _, f := range faults {
		results = append(results, object{
			"ruleId": "mapping-" + level(f), "level": level(f), "message": object{"text": f.Sentence()},
			"locations": []object{{"physicalLocation": object{
				"artifactLocation": object{"uri": filepath.ToSlash(f.File)},
				"region":           object{"startLine": max(1, f.Line), "startColumn": max(1, f.Column)},
			}}},
		})
	}
	return cli.WriteJSON(w, object{
		"version": "2.1.0", "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
		"runs": []object{{
			"tool": object{"driver": object{"name": "custom-misp", "version": cli.Version(), "rules": []object{
				{"id": "mapping-error", "shortDescription": object{"text": "A fault in a mapping file"}},
				{"id": "mapping-warning", "shortDescription": object{"text": "A mapping that compiles, but probably not as intended"}},
			}}},
			"results": results,
		}},
	})
}

// authorSources returns the mapping files that a verb for authors works on: those that are named, or with their
// configuration all that are configured. The configuration is nil after a fault in it.
func authorSources(g globals, named []string) (*config.Config, []engine.Source, error) {
	if len(named) == 0 {
		c, err := g.installed()
		if err != nil {
			return nil, nil, err
		}
		sources, err := app.Mappings(c)
		return c, sources, err
	}
	var sources []engine.Source
	for _, name := range named {
		found, err := app.ReadMappings(name)
		if err != nil {
			return nil, nil, cli.WrongUse{Err: err}
		}
		sources = append(sources, withoutSources(found)...)
	}
	if len(sources) == 0 {
		return nil, nil, cli.WrongUsef("no mapping files (*.yaml) in %v", named)
	}
	return nil, sources, nil
}
