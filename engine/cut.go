package engine

// A Cut is what a bound left out of the picks of one alert. Whoever writes a log can make it long enough to reach a bound,
// so a cut is worth a line in the program's log and a count.
type Cut struct {
	Mapping string // its id; empty for groups
	Path    string // of the pick; empty for groups
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
)

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
