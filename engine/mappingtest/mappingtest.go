// Package mappingtest has the tools for authors of mappings: tests in YAML beside the mappings, coverage of alerts,
// suggestions, explanations, the schema and the reference.
//
// A test file is a list of cases. Each names an alert, may change some of its fields, and says what must be
// picked from it, completely: a pick that is not expected fails the case as much as one that is missing. Picks of mappings
// with fallback do not count, unless the file names such a mapping: what is known of no product changes with the program.
package mappingtest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
	"go.yaml.in/yaml/v4"

	"custom-misp/engine"
	"custom-misp/engine/yamlfile"
)

// A Case is one test, ready to run.
type Case struct {
	Name  string
	File  string // of the test
	Line  int    // where it begins
	Alert []byte // JSON, with the case's own changes made
	Want  []Pick // sorted
	// Named are the mappings that the tests of the file name, this one and the others.
	Named []string
}

// A Pick is one value that a mapping picks.
type Pick struct {
	Mapping string      `json:"mapping"`
	Type    engine.Type `json:"type"`
	Value   string      `json:"value"`
}

// String returns the pick in one line that a terminal can show.
func (p Pick) String() string { return printable(fmt.Sprintf("%s %s %s", p.Mapping, p.Type, p.Value)) }

func comparePicks(a, b Pick) int {
	return cmp.Or(cmp.Compare(a.Mapping, b.Mapping), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Value, b.Value))
}

// The shapes of a test file as it is written. Their tags are what the reader goes by.
type (
	declaredCase struct {
		_     struct{}        `what:"a test"`
		Name  yamlfile.Scalar `key:"name" need:"true" doc:"what the test shows"`
		Alert *yaml.Node      `key:"alert" need:"true" doc:"the alert: written out, as JSON text, or the name of a file with it, from the test file on"`
		Set   *yaml.Node      `key:"set" doc:"changes to fields that the alert has, as {gjson path: value}; null takes a field away. A path that the alert does not have is a fault"`
		Add   *yaml.Node      `key:"add" doc:"fields that the alert gets besides, as {gjson path: value}"`
		Picks []declaredPick  `key:"picks" need:"true" empty:"ok" doc:"what is picked, completely; an empty list for nothing"`
	}
	declaredPick struct {
		_       struct{}        `what:"an expected pick"`
		Mapping yamlfile.Scalar `key:"mapping" need:"true" doc:"id of the mapping"`
		Type    yamlfile.Scalar `key:"type" need:"true" doc:"MISP attribute type of the value"`
		Value   yamlfile.Scalar `key:"value" need:"true" doc:"the value in its normal form"`
	}
)

// FileShape describes test files: for the schema and the reference.
func FileShape() yamlfile.Shape { return yamlfile.Shape{Top: []declaredCase{}} }

// Load reads a test file, or the tests in a mapping file. Alerts that a case names are read with readFile, by
// their path from the file on. The error is [yamlfile.Faults]; the cases without a fault are good.
func Load(src engine.Source, readFile func(name string) ([]byte, error)) ([]Case, error) {
	l := loader{yamlfile.NewReader(src.Name, src.Data), src.Name, readFile}
	top := l.Document()
	if top != nil && engine.IsMappingFile(src.Name) {
		top = testsIn(top)
		if top == nil {
			return nil, nil
		}
	}
	var cases []Case
	if top != nil {
		l.List(top, "a test file", func(n *yaml.Node) {
			if c, ok := l.testCase(n); ok {
				cases = append(cases, c)
			}
		})
	}
	var named []string
	for _, c := range cases {
		for _, p := range c.Want {
			if !slices.Contains(named, p.Mapping) {
				named = append(named, p.Mapping)
			}
		}
	}
	for i := range cases {
		cases[i].Named = named
	}
	if faults := l.Faults(); len(faults) > 0 {
		return cases, faults
	}
	return cases, nil
}

// testsIn returns the value of the key tests of a mapping file, nil if there is none.
func testsIn(top *yaml.Node) *yaml.Node {
	for i := 0; top.Kind == yaml.MappingNode && i+1 < len(top.Content); i += 2 {
		if top.Content[i].Value == "tests" {
			return top.Content[i+1]
		}
	}
	return nil
}

type loader struct {
	*yamlfile.Reader
	file     string
	readFile func(string) ([]byte, error)
}

func (l loader) testCase(n *yaml.Node) (Case, bool) {
	before := l.Noted()
	var d declaredCase
	l.Decode(n, &d)
	c := Case{File: l.file, Line: n.Line, Name: d.Name.Value}
	for _, p := range d.Picks {
		c.Want = append(c.Want, Pick{p.Mapping.Value, engine.Type(p.Type.Value), p.Value.Value})
	}
	slices.SortFunc(c.Want, comparePicks)
	if d.Alert != nil {
		c.Alert = l.alert(d.Alert)
	}
	if d.Set != nil && c.Alert != nil {
		c.Alert = l.change(c.Alert, d.Set, wordSet)
	}
	if d.Add != nil && c.Alert != nil {
		c.Alert = l.change(c.Alert, d.Add, wordAdd)
	}
	return c, l.Noted() == before
}

// alert returns the alert of a case: written out in YAML, or in a file.
func (l loader) alert(n *yaml.Node) []byte {
	if n.Kind == yaml.MappingNode {
		v := l.value(n, "alert")
		if v == nil {
			return nil
		}
		data, err := json.Marshal(v)
		if err != nil {
			l.Fault(n, "", "alert: %v", err)
		}
		return data
	}
	if n.Kind != yaml.ScalarNode || n.Value == "" {
		l.Fault(n, "name a file, or write the alert out", "alert must be a file or an alert, not %s", yamlfile.KindOf(n))
		return nil
	}
	if strings.HasPrefix(strings.TrimSpace(n.Value), "{") {
		if !gjson.Valid(n.Value) {
			l.Fault(n, "", "alert is not valid JSON")
			return nil
		}
		return []byte(n.Value)
	}
	data, err := l.readFile(path.Join(path.Dir(l.file), n.Value))
	if err != nil {
		l.Fault(n, "give its path from the test file on", "alert: %v", err)
		return nil
	}
	if !gjson.ValidBytes(data) {
		l.Fault(n, "put one alert into the file", "alert: %s is not valid JSON", n.Value)
		return nil
	}
	return data
}

// Bounds of an alert or a value that a test writes out.
const (
	maxDepth = 100     // levels
	maxNodes = 100_000 // once aliases are followed
)

// value turns a YAML node into what encoding/json writes; nil, with a fault, if it is too large. Texts stay texts:
// 2026-10-05 is not a date here.
func (l loader) value(n *yaml.Node, what string) any {
	x := expansion{nodes: maxNodes}
	v := x.value(n, maxDepth)
	if x.cut {
		l.Fault(n, "write less by aliases", "%s has more than %d values or %d levels", what, maxNodes, maxDepth)
		return nil
	}
	return v
}

// An expansion is a value in the making, and how many more nodes it may have.
type expansion struct {
	nodes int
	cut   bool // it had more
}

func (x *expansion) value(n *yaml.Node, levels int) any {
	if x.nodes--; x.nodes < 0 || levels == 0 {
		x.cut = true
	}
	if x.cut {
		return nil
	}
	switch n.Kind {
	case yaml.AliasNode:
		return x.value(n.Alias, levels-1)
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[n.Content[i].Value] = x.value(n.Content[i+1], levels-1)
		}
		return m
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for _, c := range n.Content {
			list = append(list, x.value(c, levels-1))
		}
		return list
	}
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		return strings.EqualFold(n.Value, "true")
	case "!!int", "!!float":
		if json.Valid([]byte(n.Value)) {
			return json.Number(n.Value)
		}
	}
	return n.Value
}

// A Result is the outcome of a case.
type Result struct {
	Case       Case
	Missing    []Pick             // expected and not picked
	Unexpected []Pick             // picked and not expected
	Err        error              // an expression failed, or took too long
	Trace      engine.Explanation // how it came to this
}

// OK reports whether the case passed.
func (r Result) OK() bool { return r.Err == nil && len(r.Missing) == 0 && len(r.Unexpected) == 0 }

// Run runs one case.
func Run(e *engine.Engine, c Case) Result {
	observables, cuts, err := e.PickWithCuts(c.Alert)
	for _, cut := range cuts {
		if cut.What == engine.CutWork {
			err = errors.Join(err, errors.New(cut.String()))
		}
	}
	var got []Pick
	for _, o := range observables {
		for _, p := range o.Picks {
			if o.Fallback && !slices.Contains(c.Named, p.Mapping) {
				continue
			}
			got = append(got, Pick{p.Mapping, p.Type, o.Value})
		}
	}
	slices.SortFunc(got, comparePicks)
	got = slices.Compact(got)
	want := slices.Compact(slices.Clone(c.Want))
	return Result{
		Case: c, Missing: without(want, got), Unexpected: without(got, want), Err: err, Trace: e.Explain(c.Alert),
	}
}

// Judge returns the result without what mappings picked that are not under test and that the case does not name.
func (r Result) Judge(underTest map[string]bool) Result {
	named := map[string]bool{}
	for _, p := range r.Case.Want {
		named[p.Mapping] = true
	}
	r.Unexpected = slices.DeleteFunc(slices.Clone(r.Unexpected), func(p Pick) bool { return !underTest[p.Mapping] && !named[p.Mapping] })
	return r
}

// without returns the picks of a that are not in b.
func without(a, b []Pick) []Pick {
	return slices.DeleteFunc(slices.Clone(a), func(p Pick) bool { return slices.Contains(b, p) })
}

// Unexercised returns what no case made use of, as warnings: picks that never picked a value. Mappings that never
// picked any are named once.
func Unexercised(e *engine.Engine, results []Result) yamlfile.Faults {
	used := map[string]map[int]bool{}
	for _, r := range results {
		for _, m := range r.Trace.Mappings {
			for i, p := range m.Picks {
				if slices.ContainsFunc(p.Candidates, func(c engine.CandidateTrace) bool { return c.Dropped == "" }) {
					if used[m.ID] == nil {
						used[m.ID] = map[int]bool{}
					}
					used[m.ID][i] = true
				}
			}
		}
	}
	var faults yamlfile.Faults
	warn := func(file string, line int, format string, args ...any) {
		faults = append(faults, yamlfile.Fault{
			Warning: true, File: file, Line: line, Column: 1, Message: fmt.Sprintf(format, args...), Remedy: "add one that picks",
		})
	}
	for _, m := range e.Mappings() {
		if used[m.ID] == nil {
			warn(m.File, m.Line, "no test exercises mapping %q", m.ID)
			continue
		}
		for i, p := range m.Picks {
			if !used[m.ID][i] {
				warn(m.File, p.Line, "no test exercises the pick of %s from %s in mapping %q", p.Type, p.Path, m.ID)
			}
		}
	}
	return faults
}

// IsTestFile reports whether a file of this name holds tests: *_test.yaml or *_test.yml.
func IsTestFile(name string) bool {
	return strings.HasSuffix(name, "_test.yaml") || strings.HasSuffix(name, "_test.yml")
}

// String describes a failure in several lines, with the way of the alert through the mappings concerned, or says
// that the case passed.
func (r Result) String() string {
	if r.OK() {
		return "ok: " + printable(r.Case.Name)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d: %s\n", printable(r.Case.File), r.Case.Line, printable(r.Case.Name))
	for _, p := range r.Missing {
		fmt.Fprintf(&b, "  - not picked: %s\n", p)
	}
	for _, p := range r.Unexpected {
		fmt.Fprintf(&b, "  + not expected: %s\n", p)
	}
	if r.Err != nil {
		for _, err := range unjoin(r.Err) {
			fmt.Fprintf(&b, "  ! %s\n", oneLine(err.Error()))
		}
	}
	concerned := map[string]bool{}
	for _, p := range slices.Concat(r.Missing, r.Unexpected) {
		concerned[p.Mapping] = true
	}
	for _, m := range r.Trace.Mappings {
		if concerned[m.ID] {
			writeMapping(&b, m, "    ", Plain)
		}
		delete(concerned, m.ID)
	}
	for id := range concerned {
		fmt.Fprintf(&b, "    there is no mapping %q\n", id)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func unjoin(err error) []error {
	if j, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](err); ok {
		return j.Unwrap()
	}
	return []error{err}
}
