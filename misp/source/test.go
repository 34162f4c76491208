package source

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"custom-misp/engine/yamlfile"
)

// A TestResult is the result of one test of a file of sources.
type TestResult struct {
	File     string
	Line     int
	Source   string
	Failures []string // what is other than expected; none if the test passed
}

// RunTests runs the tests of a file of sources, as if it was now. read reads the files that tests name. Tests are not run
// if the file has faults.
func RunTests(ctx context.Context, f File, now time.Time, read func(name string) ([]byte, error)) ([]TestResult, yamlfile.Faults) {
	sources, faults := Load(f)
	if len(faults) > 0 || f.Err != nil {
		return nil, faults
	}
	c := compiler{yamlfile.NewReader(f.Name, f.Data)}
	var results []TestResult
	for _, d := range c.declare().Tests {
		i := slices.IndexFunc(sources, func(s *Source) bool { return s.Name == d.Source.Value })
		if i < 0 {
			var names []string
			for _, s := range sources {
				names = append(names, s.Name)
			}
			c.Fault(d.Source.Node, yamlfile.OneOf(d.Source.Value, names), "there is no source %q in this file", d.Source.Value)
			continue
		}
		content := []byte(d.Content.Value)
		if d.File.Given() {
			var err error
			if content, err = read(d.File.Value); err != nil {
				c.Fault(d.File.Node, "", "%v", err)
				continue
			}
		}
		r := TestResult{File: f.Name, Line: d.Source.Node.Line, Source: d.Source.Value}
		r.Failures = c.compare(ctx, d, sources[i], content, now)
		results = append(results, r)
	}
	return results, c.Faults()
}

// compare returns what of a test is other than expected.
func (c compiler) compare(ctx context.Context, d declaredTest, s *Source, content []byte, now time.Time) []string {
	file := bytes.NewReader(content)
	m, err := s.Measure(ctx, file, now)
	if want := d.Fails.Value; want != "" || err != nil {
		switch {
		case err == nil:
			return []string{fmt.Sprintf("the file is taken, and should be refused with %q", want)}
		case want == "" || !strings.Contains(err.Error(), want):
			return []string{fmt.Sprintf("the file is refused: %v", err)}
		}
		return nil
	}
	var wrong []string
	if d.Skipped != nil {
		wrong = append(wrong, differences("entries", c.numbers(d.Skipped, "skipped"), m.Report.Skipped)...)
	}
	if d.Indicators == nil {
		return wrong
	}
	if d.Indicators.Kind == yaml.MappingNode {
		return append(wrong, differences("indicators", c.numbers(d.Indicators, "indicators"), m.Report.Indicators)...)
	}
	var want []declaredIndicator
	c.List(d.Indicators, "indicators", func(n *yaml.Node) {
		var in declaredIndicator
		c.Decode(n, &in)
		want = append(want, in)
	})
	return append(wrong, m.compare(ctx, file, want)...)
}

// declaredIndicator is an indicator that a test expects.
type declaredIndicator struct {
	_     struct{}        `what:"an indicator"`
	Type  yamlfile.Scalar `key:"type" need:"true"`
	Value yamlfile.Scalar `key:"value" need:"true"`
}

// compare returns which indicators are missing, and which are not expected.
func (m *Measure) compare(ctx context.Context, file Content, want []declaredIndicator) (wrong []string) {
	got := map[string]bool{}
	if err := m.Each(ctx, file, func(in Indicator) error {
		got[in.Type+" "+in.Value] = true
		return nil
	}); err != nil {
		return []string{err.Error()}
	}
	for _, w := range want {
		key := w.Type.Value + " " + w.Value.Value
		if !got[key] {
			wrong = append(wrong, "missing: "+key)
		}
		delete(got, key)
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		wrong = append(wrong, "not expected: "+key)
	}
	return wrong
}

// numbers reads a set of names and numbers.
func (c compiler) numbers(n *yaml.Node, what string) map[string]int {
	numbers := map[string]int{}
	if n.Kind != yaml.MappingNode {
		c.Fault(n, "write {NAME: NUMBER}", "%s must be a set of names and numbers, not %s", what, yamlfile.KindOf(n))
		return numbers
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		number, err := strconv.Atoi(n.Content[i+1].Value)
		if err != nil {
			c.Fault(n.Content[i+1], "", "%q is no number", n.Content[i+1].Value)
		}
		numbers[n.Content[i].Value] = number
	}
	return numbers
}

// differences compares numbers.
func differences(what string, want, got map[string]int) (wrong []string) {
	all := maps.Clone(want)
	maps.Copy(all, got)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if want[name] != got[name] {
			wrong = append(wrong, fmt.Sprintf("%s, %s: %d, want %d", what, name, got[name], want[name]))
		}
	}
	return wrong
}
