package main

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"

	"github.com/spf13/cobra"

	"custom-misp/engine"
	"custom-misp/engine/mappingtest"
)

func newTest(s streams, g *globalFlags) *cobra.Command {
	var only string
	cmd := &cobra.Command{
		Use:   "test [FILE|DIR...]",
		Short: "Run the tests that stand beside mappings (*_test.yaml)",
		Long: `Run mapping tests. Each FILE is a test file (NAME_test.yaml) or a mapping file whose tests stand beside it;
a DIR stands for all test files below it. The mappings of the same directories are loaded, with the built-in
ones if the configuration says so.

Without arguments the tests of the configured directories are run.`,
		Example: `  custom-misp test mappings
  custom-misp test --run 'dns' my-mapping_test.yaml`,
		RunE: func(_ *cobra.Command, args []string) error {
			pattern, err := regexp.Compile(only)
			if err != nil {
				return wrongUsef("--run: %w", err)
			}
			settings, err := loadSettings(*g, nil, nil)
			if err != nil {
				return err
			}
			if len(args) == 0 {
				for _, dir := range settings.paths("mappings.dirs") {
					if st, err := os.Stat(dir); err == nil && st.IsDir() {
						args = append(args, dir)
					}
				}
			}
			tests, err := findTests(args)
			if err != nil {
				return err
			}
			sources, err := testSources(settings, tests)
			if err != nil {
				return err
			}
			e, err := engine.Load(sources...)
			if err != nil {
				printFaults(s.err, err)
				return errSilent
			}
			return runTests(s, e, tests, pattern)
		},
	}
	cmd.Flags().StringVar(&only, "run", "", "only tests whose name matches this regular expression")
	return cmd
}

// findTests returns the test files that args name.
func findTests(args []string) ([]string, error) {
	var tests []string
	for _, arg := range args {
		st, err := os.Stat(arg)
		if err != nil {
			return nil, wrongUse{err}
		}
		if !st.IsDir() {
			if engine.IsMappingFile(arg) {
				arg = arg[:len(arg)-len(filepath.Ext(arg))] + "_test" + filepath.Ext(arg)
			}
			tests = append(tests, arg)
			continue
		}
		err = filepath.WalkDir(arg, func(name string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && mappingtest.IsTestFile(name) {
				tests = append(tests, name)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if len(tests) == 0 {
		return nil, wrongUsef("no test files (*_test.yaml) found; name a file or a directory that holds some")
	}
	return tests, nil
}

// testSources returns the mappings that the tests run against: those in the directories of the tests, and the
// built-in ones unless it is they that lie there.
func testSources(s *settings, tests []string) ([]engine.Source, error) {
	var sources []engine.Source
	seen := map[string]bool{}
	local := map[string]bool{}
	for _, t := range tests {
		dir := filepath.Dir(t)
		if seen[dir] {
			continue
		}
		seen[dir] = true
		found, err := readMappings(dir)
		if err != nil {
			return nil, err
		}
		for _, src := range found {
			if path.Dir(src.Name) == filepath.ToSlash(dir) { // not those further down
				local[path.Base(src.Name)] = true
				sources = append(sources, src)
			}
		}
	}
	builtin, err := mappingSources(s, nil)
	if err != nil {
		return nil, err
	}
	for _, src := range builtin {
		if path.Dir(src.Name) == "mappings" && !local[path.Base(src.Name)] {
			sources = append(sources, src)
		}
	}
	return sources, nil
}

func runTests(s streams, e *engine.Engine, tests []string, only *regexp.Regexp) error {
	passed, failed := 0, 0
	for _, name := range tests {
		data, err := os.ReadFile(name)
		if err != nil {
			return wrongUse{err}
		}
		cases, err := mappingtest.Load(engine.Source{Name: filepath.ToSlash(name), Data: data}, os.ReadFile)
		if err != nil {
			failed += printFaults(s.err, err)
		}
		for _, c := range cases {
			if !only.MatchString(c.Name) {
				continue
			}
			r := mappingtest.Run(e, c)
			if r.OK() {
				passed++
				continue
			}
			failed++
			fmt.Fprintln(s.out, r)
		}
	}
	fmt.Fprintf(s.out, "%d passed, %d failed\n", passed, failed)
	if failed > 0 {
		return errSilent
	}
	return nil
}
