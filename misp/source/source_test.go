package source_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"custom-misp/misp/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// now is the time of all tests.
var now = time.Date(2026, 1, 10, 12, 0, 0, 0, time.UTC)

// Hashes for fixtures, as long as their types need.
var (
	p64  = strings.Repeat("a1", 32)
	p64b = strings.Repeat("b2", 32)
	q40  = strings.Repeat("c3", 20)
	m32  = strings.Repeat("d4", 16)
)

// load compiles a declaration without version and list.
func load(t testing.TB, declaration string) *source.Source {
	t.Helper()
	text := "version: 1\nsources:\n  - name: x\n"
	for line := range strings.Lines(strings.Trim(declaration, "\n")) {
		text += "    " + strings.TrimSuffix(line, "\n") + "\n"
	}
	sources, faults := source.Load(source.File{Name: "x.yaml", Data: []byte(text)})
	if len(faults) > 0 {
		t.Fatalf("%v\n%s", faults, text)
	}
	return sources[0]
}

// A result is what a file yields.
type result struct {
	found   []string // type, value and what is said about it
	report  *source.Report
	err     error
	entries []source.Indicator
}

// read reads content by a declaration; by a preset if that is one word.
func read(t testing.TB, declaration, content string) result {
	t.Helper()
	s := source.Preset(declaration)
	switch {
	case declaration == "":
		s = &source.Source{}
	case s == nil:
		s = load(t, declaration)
	}
	return readWith(t, s, []byte(content))
}

func readWith(t testing.TB, s *source.Source, content []byte) result {
	t.Helper()
	file := bytes.NewReader(content)
	m, err := s.Measure(context.Background(), file, now)
	r := result{report: m.Report, err: err}
	if err != nil {
		return r
	}
	if err := m.Each(context.Background(), file, func(in source.Indicator) error {
		r.entries = append(r.entries, in)
		r.found = append(r.found, in.Type+" "+in.Value)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(r.found)
	return r
}

// A fixture is a file with what it yields.
type fixture struct {
	name    string
	declare string
	content string
	want    []string
	skipped map[string]int
	fails   string
}

func (f fixture) check(t *testing.T) {
	t.Helper()
	r := read(t, f.declare, f.content)
	if f.fails != "" {
		if r.err == nil || !strings.Contains(r.err.Error(), f.fails) {
			t.Errorf("%s: error %v, want one with %q; found %q", f.name, r.err, f.fails, r.found)
		}
		return
	}
	if r.err != nil {
		t.Errorf("%s: %v", f.name, r.err)
	}
	slices.Sort(f.want)
	if d := cmp.Diff(f.want, r.found); d != "" {
		t.Errorf("%s (-want +got):\n%s", f.name, d)
	}
	if f.skipped == nil {
		f.skipped = map[string]int{}
	}
	if d := cmp.Diff(f.skipped, r.report.Skipped); d != "" {
		t.Errorf("%s, skipped (-want +got):\n%s", f.name, d)
	}
}

func checkAll(t *testing.T, fixtures []fixture) {
	t.Helper()
	t.Parallel()
	for _, f := range fixtures {
		f.check(t)
	}
}

// one returns the one indicator with a value.
func (r result) one(t *testing.T, value string) source.Indicator {
	t.Helper()
	i := slices.IndexFunc(r.entries, func(in source.Indicator) bool { return in.Value == value })
	if i < 0 {
		t.Fatalf("no %q in %q", value, r.found)
	}
	return r.entries[i]
}

func lines(list ...string) string { return strings.Join(list, "\n") + "\n" }

func repeated(n int, line func(i int) string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(line(i) + "\n")
	}
	return b.String()
}

func host(i int) string { return fmt.Sprintf("h%d.bad-cdn.example", i) }
