package main

import (
	"cmp"
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine"
	"custom-misp/engine/mappingtest"
	"custom-misp/engine/yamlfile"
)

// lintFlags are the flags of the verb lint.
type lintFlags struct {
	output   string
	strict   bool
	alerts   []string
	profiles []string
	watch    bool
}

func newLint(s cli.Streams, g *globals) *cobra.Command {
	var f lintFlags
	cmd := &cobra.Command{
		Use:   "lint [FILE|DIR...]",
		Short: "Check mapping files, files of sources, and the configuration",
		Long: `Check mapping files and the tests beside them, without an alert. All faults are reported in one run, each with file,
line, column and a remedy. Warnings name what compiles, but probably not as intended: a mapping that every alert meets
or no alert can match, one that does the same as another, a pick that no test exercises.

With --alerts, hold them against real alerts too: a warning for each mapping that matches none, with the condition that is in
the way and the nearest name, and for each pick that takes nothing, with the nearest field or why its values are dropped.
Every alert is tried; nearest names are from a sample, the first ` + strconv.Itoa(mappingtest.SampledOfEach) + ` of each decoder and rule. mappings.sample is where
alerts are without --alerts. With --profile, hold them against the names in a file that profile wrote, where alerts may not be.

Files of sources are checked too.

Without arguments, check the built-in and the configured mappings, and report everything that keeps a call by
integratord from looking alerts up.

Exit code 1 on faults, with --strict also on warnings. Exit code 2 if the configuration is wrong.`,
		Example: `  custom-misp lint
  custom-misp lint --strict /var/ossec/etc/custom-misp/mappings my-mapping.yaml
  custom-misp lint --alerts /var/ossec/logs/alerts my-mapping.yaml
  custom-misp lint --profile site.profile mappings
  custom-misp lint --output github mappings        # annotations in a GitHub workflow
  custom-misp lint --output sarif mappings > lint.sarif`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !f.watch {
				return lint(s, *g, f, args)
			}
			if len(args) == 0 {
				return cli.WrongUsef("--watch needs the mapping files or directories that it is to look at")
			}
			tick := time.NewTicker(watchInterval)
			defer tick.Stop()
			names := slices.Concat(args, f.profiles)
			return lintOnChange(cmd.Context(), s, tick.C, names, func() error { return lint(s, *g, f, args) })
		},
	}
	cmd.Flags().BoolVar(&f.watch, "watch", false, "check again after each change of the files, until an interrupt")
	cmd.Flags().BoolVar(&f.strict, "strict", false, "exit with code 1 also on warnings")
	cmd.Flags().StringArrayVar(&f.alerts, "alerts", nil, "file or directory with alerts, as coverage reads them, to hold the mappings against; may be repeated")
	cmd.Flags().StringArrayVar(&f.profiles, "profile", nil, "file that profile wrote, to hold the mappings against; may be repeated")
	outputFlag(cmd, &f.output, "table", "table", "json", "sarif", "github")
	return cmd
}

// lint is the verb lint.
func lint(s cli.Streams, g globals, f lintFlags, args []string) error {
	declared, rest, err := sourceFiles(args)
	if err != nil {
		return err
	}
	if len(declared) > 0 && len(rest) == 0 {
		faults, err := lintSources(nil, declared)
		if err != nil {
			return err
		}
		if err := writeFaults(s, f.output, faults, linted{files: len(declared)}); err != nil || len(faults) == 0 {
			return err
		}
		return cli.ErrReported
	}
	c, sources, err := authorSources(g, rest)
	var unusable error
	if c != nil {
		unusable = checkBuild(c) // with what err says, and more
	}
	if err = cmp.Or(unusable, err); sources == nil && err != nil {
		return err
	}
	trial, failed, err := f.trial(s, g, c, sources)
	if err != nil {
		return err
	}
	profiles, vocabulary, err := f.readProfiles()
	if err != nil {
		return err
	}
	tests := testsOf(sources, rest)
	e, faults := app.Lint(sources, tests.vocabulary()+trial.vocabulary()+vocabulary)
	ofSources, err := lintSources(c, declared)
	if err != nil {
		return err
	}
	faults = append(faults, ofSources...)
	faults = append(faults, tests.lint(e, faults)...)
	faults = append(faults, trial.faults(sources)...)
	for _, p := range profiles {
		faults = append(faults, withLines(p.Faults(e), sources)...)
	}
	if err := writeFaults(s, f.output, faults, linted{len(sources), len(e.Mappings()), trial}); err != nil {
		return err
	}
	if failed || f.strict && len(faults) > 0 || slices.ContainsFunc(faults, func(f yamlfile.Fault) bool { return !f.Warning }) {
		return cmp.Or(unusable, cli.ErrReported)
	}
	return unusable
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

// authorSources returns the mapping files that a verb for authors works on: those that are named, or with their
// configuration all that are configured. The configuration is nil if files are named, or if it has a fault.
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
