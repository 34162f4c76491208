package engine

import "fmt"

// A Cut is what a bound left out of one alert. Whoever writes a log can make it long enough to reach a bound,
// so a cut is worth a line in the program's log and a count.
type Cut struct {
	Mapping string // its id; empty where What is of the whole alert
	Path    string // of the pick; empty likewise, and where the match of a mapping was not decided
	What    CutKind
	Number  int // at least so many were left out, in the unit of What
}

// A CutKind says what a bound left out, and in what unit.
type CutKind string

// The kinds of cuts. The package comment has the bounds.
const (
	CutText        CutKind = "text"        // bytes in the middle of texts that scan did not read
	CutFound       CutKind = "found"       // values of texts that scan found behind those that it kept
	CutLong        CutKind = "long"        // values that are longer than [MaxValue]
	CutCandidates  CutKind = "candidates"  // candidates of a pick
	CutLevels      CutKind = "levels"      // arrays that are nested too deeply
	CutObservables CutKind = "observables" // values of an alert beyond [MaxObservables]
	CutGroups      CutKind = "groups"      // groups of an alert
	CutWork        CutKind = "work"        // candidates of a pick, or the mapping if Path is empty: an expression took too many steps
	CutValues      CutKind = "values"      // values beyond [MaxValues] that MISP is not asked for, see [Limit]
	CutMatches     CutKind = "matches"     // weaker matches of one value, of which there may be more than are taken
	CutLabels      CutKind = "labels"      // tags or warninglists of an attribute, likewise
)

// cutTexts say what was left out.
var cutTexts = map[CutKind]string{
	CutText:        "bytes in the middle of long texts were not read",
	CutFound:       "further values of texts were left out",
	CutLong:        "values are longer than a value can be",
	CutCandidates:  "further values at the path were left out",
	CutLevels:      "arrays are nested too deeply",
	CutObservables: "further values of the alert were left out",
	CutGroups:      "further groups of the alert were left out",
	CutWork:        "an expression takes too long on this alert, so what it was to decide about was left out",
	CutValues:      "further values are not asked for: the farthest networks and domains",
	CutMatches:     "weaker matches of a value were left out",
	CutLabels:      "tags or warninglists of an attribute were left out",
}

// String says what was left out, for people.
func (c Cut) String() string {
	what := fmt.Sprintf("%s (at least %d)", cutTexts[c.What], c.Number)
	switch {
	case c.Mapping == "":
		return what
	case c.Path == "":
		return fmt.Sprintf("mapping %q: %s", c.Mapping, what)
	}
	return fmt.Sprintf("mapping %q, pick %q: %s", c.Mapping, c.Path, what)
}

// cut notes that a bound left something out. Cuts of the same kind in one pick are added up.
func (r *run) cut(mapping, path string, what CutKind, number int) {
	if number == 0 {
		return
	}
	for i := range r.cuts {
		if c := &r.cuts[i]; c.Mapping == mapping && c.Path == path && c.What == what {
			c.Number += number
			return
		}
	}
	r.cuts = append(r.cuts, Cut{mapping, path, what, number})
}
