package main

import (
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine"
	"custom-misp/engine/atomicfile"
	"custom-misp/engine/mappingtest"
	"custom-misp/engine/yamlfile"
)

// testFlags are the flags of the verb test.
type testFlags struct {
	run    string
	output string
	watch  bool
	all    bool
}

func newTest(s cli.Streams, g *globals) *cobra.Command {
	var f testFlags
	cmd := &cobra.Command{
		Use:   "test [FILE|DIR...]",
		Short: "Run the tests of mappings",
		Long: `Run tests of mappings. A FILE is a test file (NAME_test.yaml) or a mapping file. The tests of a mapping file are in it
under the key tests, or beside it in NAME_test.yaml. A DIR stands for all such files below it.

Files of sources are taken too, with the tests that are in them under the key tests.

A test names everything that the mappings of the files under test pick from its alert. Other mappings, such as the built-in
ones, are loaded too, and what they pick is judged only with --all or if the test names them. Of a FILE, the mapping file
beside it is read and no other; for a test file without one, those in its directory are.

A failure shows what was expected, what was picked, and why. Without arguments, the tests in the configured
directories are run.`,
		Example: `  custom-misp test mappings
  custom-misp test --run 'dns' my-mapping_test.yaml
  custom-misp test --watch my-mappings
  custom-misp test --output junit mappings > junit.xml`,
		RunE: func(cmd *cobra.Command, args []string) error {
			only, err := regexp.Compile(f.run)
			if err != nil {
				return cli.WrongUsef("--run: %w", err)
			}
			c := g.known(s.Err)
			if len(args) == 0 {
				for _, dir := range append(slices.Clip(c.Mappings.Dirs), c.Sources.Dirs...) {
					if st, err := os.Stat(dir); err == nil && st.IsDir() {
						args = append(args, dir)
					}
				}
			}
			once := func() error { return runAllTests(cmd.Context(), s, c, args, only, f) }
			if f.watch {
				return watchFiles(cmd.Context(), s, args, once)
			}
			return once()
		},
	}
	cmd.Flags().StringVar(&f.run, "run", "", "run only tests whose name matches this regular expression")
	cmd.Flags().BoolVar(&f.watch, "watch", false, "run again when a file changes, until interrupted")
	cmd.Flags().BoolVar(&f.all, "all", false, "judge what all mappings pick, also those that are not under test")
	outputFlag(cmd, &f.output, "table", "table", "json", "junit")
	return cmd
}

// runAllTests runs the tests of files of sources, and those of mappings.
func runAllTests(ctx context.Context, s cli.Streams, c *config.Config, args []string, only *regexp.Regexp, f testFlags) error {
	files, rest, err := sourceFiles(args)
	if err != nil {
		return err
	}
	if len(files) > 0 {
		err = testSourceFiles(ctx, s, files, only)
		if len(rest) == 0 {
			return err
		}
	}
	return cmp.Or(runTests(s, c, rest, only, f), err)
}

// findTests returns the files with tests that args name.
func findTests(args []string) ([]string, error) {
	var tests []string
	add := func(name string) {
		if !mappingtest.IsTestFile(name) && !holdsTests(args, name) {
			return
		}
		tests = append(tests, name)
	}
	for _, arg := range args {
		st, err := os.Stat(arg)
		if err != nil {
			return nil, cli.WrongUse{Err: err}
		}
		if !st.IsDir() {
			add(arg)
			if beside := arg[:len(arg)-len(filepath.Ext(arg))] + "_test" + filepath.Ext(arg); engine.IsMappingFile(arg) && exists(beside) {
				add(beside)
			}
			continue
		}
		err = filepath.WalkDir(arg, func(name string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && (engine.IsMappingFile(name) || mappingtest.IsTestFile(name)) {
				add(name)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if len(tests) == 0 {
		return nil, cli.WrongUsef("no tests found; name a file or a directory with *_test.yaml, or mapping files with the key tests")
	}
	return tests, nil
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// readTests reads a file with tests. Only one that args name may be a pipe.
func readTests(args []string, name string) ([]byte, error) {
	if slices.Contains(args, name) {
		return cli.ReadNamed(name)
	}
	return readRegular(name)
}

func readRegular(name string) ([]byte, error) { return atomicfile.ReadRegular(name, cli.MaxFile) }

// holdsTests reports whether a mapping file has the key tests; whether its value is good is found out later.
func holdsTests(args []string, name string) bool {
	data, err := readTests(args, name)
	return err == nil && regexp.MustCompile(`(?m)^["']?tests["']?\s*:`).Match(data)
}

// testSources returns the mappings that the tests run against: the built-in ones, as configured, and those in the
// files under test: the mapping file of each test, or those in its directory if it has none or args name a directory. own
// holds the names of the latter.
func testSources(c *config.Config, args, tests []string) (sources []engine.Source, own map[string]bool, err error) {
	configured, err := app.Mappings(c)
	if err != nil {
		return nil, nil, err
	}
	for _, src := range configured {
		if src.Builtin {
			sources = append(sources, src)
		}
	}
	own = map[string]bool{}
	seen := map[string]bool{}
	for _, t := range tests {
		dir, of := filepath.Dir(t), filepath.Dir(t)
		if mapping := mappingFileOf(t); slices.Contains(args, t) || slices.Contains(args, mapping) {
			if st, err := os.Stat(mapping); err == nil && st.Mode().IsRegular() {
				of = mapping
			}
		}
		if seen[of] {
			continue
		}
		seen[of] = true
		found, err := app.ReadMappings(of)
		if err != nil {
			return nil, nil, err
		}
		for _, src := range found {
			if !own[src.Name] && path.Dir(src.Name) == filepath.ToSlash(dir) { // not those further down
				own[src.Name] = true
				sources = append(sources, src)
			}
		}
	}
	return sources, own, nil
}

// mappingFileOf returns the mapping file that a test file is beside, and a mapping file itself.
func mappingFileOf(test string) string {
	ext := filepath.Ext(test)
	return strings.TrimSuffix(strings.TrimSuffix(test, ext), "_test") + ext
}

// idsIn returns the ids of the mappings that are in some of the files.
func idsIn(e *engine.Engine, files map[string]bool) map[string]bool {
	ids := map[string]bool{}
	for _, m := range e.Mappings() {
		ids[m.ID] = files[m.File]
	}
	return ids
}

func runTests(s cli.Streams, c *config.Config, args []string, only *regexp.Regexp, f testFlags) error {
	tests, err := findTests(args)
	if err != nil {
		return err
	}
	sources, own, err := testSources(c, args, tests)
	if err != nil {
		return err
	}
	e, err := app.Compile(sources)
	if faults, ok := errors.AsType[yamlfile.Faults](err); ok {
		cli.PrintFaults(s.Err, err)
		// A file beside those that are tested is left out, as it is when an alert comes.
		if slices.ContainsFunc(faults, func(f yamlfile.Fault) bool { return concerns(args, f.File) }) {
			return cli.ErrReported
		}
	}
	underTest := idsIn(e, own)
	var results []mappingtest.Result
	broken := 0
	for _, name := range tests {
		data, err := readTests(args, name)
		if err != nil {
			return cli.WrongUse{Err: err}
		}
		cases, err := mappingtest.Load(engine.Source{Name: filepath.ToSlash(name), Data: data}, readRegular)
		if err != nil {
			broken += cli.PrintFaults(s.Err, err)
		}
		for _, c := range cases {
			if only.MatchString(c.Name) {
				r := mappingtest.Run(e, c)
				if !f.all {
					r = r.Judge(underTest)
				}
				results = append(results, r)
			}
		}
	}
	unexercised := yamlfile.Faults{}
	for _, f := range mappingtest.Unexercised(e, results) {
		if own[f.File] && concerns(args, f.File) { // the others are tested elsewhere
			unexercised = append(unexercised, f)
		}
	}
	if err := writeResults(s.Out, f.output, results, unexercised, broken); err != nil {
		return err
	}
	if failed := countFailed(results) + broken; failed > 0 {
		return cli.ErrReported
	}
	return nil
}

// concerns reports whether a mapping file is one that args name, lies below one, or is what one tests.
func concerns(args []string, file string) bool {
	stem := func(name string) string {
		return strings.TrimSuffix(strings.TrimSuffix(filepath.ToSlash(filepath.Clean(name)), filepath.Ext(name)), "_test")
	}
	return slices.ContainsFunc(args, func(arg string) bool {
		dir := filepath.ToSlash(filepath.Clean(arg))
		return stem(arg) == stem(file) || dir == "." || strings.HasPrefix(filepath.ToSlash(filepath.Clean(file)), dir+"/")
	})
}

func countFailed(results []mappingtest.Result) int {
	n := 0
	for _, r := range results {
		if !r.OK() {
			n++
		}
	}
	return n
}

func writeResults(w io.Writer, output string, results []mappingtest.Result, unexercised yamlfile.Faults, broken int) error {
	failed := countFailed(results)
	switch output {
	case "json":
		return cli.WriteJSON(w, resultsJSON(results, unexercised))
	case "junit":
		return writeJUnit(w, results)
	}
	for _, r := range results {
		if !r.OK() {
			fmt.Fprintln(w, r)
		}
	}
	fmt.Fprintf(w, "%d passed, %d failed", len(results)-failed, failed+broken)
	if len(unexercised) > 0 {
		fmt.Fprintf(w, "; %s without a test that picks, see lint", cli.Plural(len(unexercised), "pick"))
	}
	fmt.Fprintln(w)
	return nil
}

// resultsJSON is the JSON form of a run.
func resultsJSON(results []mappingtest.Result, unexercised yamlfile.Faults) any {
	type result struct {
		Name       string             `json:"name"`
		File       string             `json:"file"`
		Line       int                `json:"line"`
		OK         bool               `json:"ok"`
		Missing    []mappingtest.Pick `json:"missing,omitempty"`
		Unexpected []mappingtest.Pick `json:"unexpected,omitempty"`
		Error      string             `json:"error,omitempty"`
	}
	run := struct {
		Passed      int             `json:"passed"`
		Failed      int             `json:"failed"`
		Tests       []result        `json:"tests"`
		Unexercised yamlfile.Faults `json:"unexercised"`
	}{len(results) - countFailed(results), countFailed(results), []result{}, unexercised}
	for _, r := range results {
		line := result{r.Case.Name, r.Case.File, r.Case.Line, r.OK(), r.Missing, r.Unexpected, ""}
		if r.Err != nil {
			line.Error = r.Err.Error()
		}
		run.Tests = append(run.Tests, line)
	}
	return run
}

// writeJUnit writes the XML that CI servers read: a suite for each file.
func writeJUnit(w io.Writer, results []mappingtest.Result) error {
	type failure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	type testcase struct {
		Name    string   `xml:"name,attr"`
		Class   string   `xml:"classname,attr"`
		File    string   `xml:"file,attr"`
		Line    int      `xml:"line,attr"`
		Failure *failure `xml:"failure"`
	}
	type suite struct {
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Cases    []testcase `xml:"testcase"`
	}
	suites := struct {
		XMLName  xml.Name `xml:"testsuites"`
		Tests    int      `xml:"tests,attr"`
		Failures int      `xml:"failures,attr"`
		Suites   []*suite `xml:"testsuite"`
	}{Tests: len(results), Failures: countFailed(results)}
	byFile := map[string]*suite{}
	for _, r := range results {
		s := byFile[r.Case.File]
		if s == nil {
			s = &suite{Name: cli.Clean(r.Case.File)}
			byFile[r.Case.File] = s
			suites.Suites = append(suites.Suites, s)
		}
		file := cli.Clean(r.Case.File)
		c := testcase{Name: cli.Clean(r.Case.Name), Class: file, File: file, Line: r.Case.Line}
		if !r.OK() {
			c.Failure = &failure{"picks differ", r.String()}
			s.Failures++
		}
		s.Tests++
		s.Cases = append(s.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(suites); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// settle is how long files may not change before they are read: editors write in several steps.
const settle = 100 * time.Millisecond

// watchFiles calls once, and again after every change below args, until ctx ends.
func watchFiles(ctx context.Context, s cli.Streams, args []string, once func() error) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	defer watcher.Close() //nolint:errcheck // at the end anyway
	for _, arg := range args {
		dir := arg
		if st, err := os.Stat(arg); err != nil {
			return cli.WrongUse{Err: err}
		} else if !st.IsDir() {
			dir = filepath.Dir(arg) // editors replace files
		}
		err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				err = watcher.Add(name)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("watch %s: %w", dir, err)
		}
	}
	for {
		if err := once(); err != nil && !errors.Is(err, cli.ErrReported) {
			fmt.Fprintln(s.Err, "custom-misp: "+cli.Clean(strings.ReplaceAll(err.Error(), "\n", "; ")))
		}
		var due <-chan time.Time
		for changed := false; !changed; {
			select {
			case <-ctx.Done():
				return nil
			case err := <-watcher.Errors:
				return fmt.Errorf("watch: %w", err)
			case ev := <-watcher.Events:
				if ext := filepath.Ext(ev.Name); ext == ".yaml" || ext == ".yml" || ext == ".json" {
					due = time.After(settle)
				}
			case <-due:
				changed = true
			}
		}
	}
}
