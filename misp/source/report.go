package source

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"custom-misp/engine"
)

// A Report says what becomes of the entries of a file.
type Report struct {
	Format  Format
	Entries int
	// Indicators is how many different ones there are of each type. MISP's are counted by attribute, lists of MISP's
	// warninglists by the type of the list.
	Indicators map[string]int
	// Unused is how many of these are not looked up: Private, Expired, TooWide and NotCompared.
	Unused map[string]int
	// Skipped is how many entries yield none, by reason.
	Skipped map[string]int
	// Examples are the first indicators.
	Examples []Example
	// First has the first entries of each reason.
	First map[string][]Skip
	// Repeated is how often an indicator came again.
	Repeated int
	// Retyped is how often the form of a value said another type than its row.
	Retyped int
	// BadDates is how often a date could not be read, by its form: 9 for each digit.
	BadDates map[string]int
	// Notes are further remarks, like that deletions cannot be seen.
	Notes []string

	Name string // of a warninglist
}

// The keys of Report.Unused.
const (
	Private     = "private"      // an address, name or URL that is only known at a site
	Expired     = "expired"      // its end has passed
	TooWide     = "too_wide"     // a network of too many addresses
	NotCompared = "not_compared" // of a type that is never compared, as link or a path alone
	Warninglist = "warninglist"  // on a warninglist
)

// An Example is an indicator of a file.
type Example struct {
	Line  int         `json:"line"`
	Type  engine.Type `json:"type"`
	Value string      `json:"value"`
}

// A Skip is an entry that yields no indicator.
type Skip struct {
	Line int
	Text string
}

// Total returns how many different indicators there are.
func (r *Report) Total() int { return sum(r.Indicators) }

// Bad returns how many entries yield no indicator though nothing says that they should not.
func (r *Report) Bad() int {
	n := 0
	for reason, count := range r.Skipped {
		if !chosen[reason] {
			n += count
		}
	}
	return n
}

// chosen are the reasons that the declaration, the format or the file itself gives to leave an entry out.
var chosen = map[string]bool{
	reasonNotWanted: true, reasonSkipType: true, reasonException: true, reasonNoLookup: true, reasonInactive: true,
	reasonRevoked: true, reasonOlder: true, reasonNoValue: true, reasonPath: true,
}

func sum(m map[string]int) (n int) {
	for _, count := range m {
		n += count
	}
	return n
}

func newReport(f Format) *Report {
	return &Report{
		Format: f, Indicators: map[string]int{}, Unused: map[string]int{}, Skipped: map[string]int{}, First: map[string][]Skip{},
		BadDates: map[string]int{},
	}
}

// skip counts an entry without indicator.
func (r *Report) skip(line int, reason, text string) {
	if _, known := r.Skipped[reason]; !known && len(r.Skipped) >= maxReasons {
		reason = "another reason"
	}
	r.Skipped[reason]++
	if first := r.First[reason]; len(first) < maxFirsts {
		r.First[reason] = append(first, Skip{line, strings.Clone(short(text))})
	}
}

// badDate counts a date by its form.
func (r *Report) badDate(text string) {
	form := strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' {
			return '9'
		}
		return c
	}, short(text))
	if _, known := r.BadDates[form]; known || len(r.BadDates) < maxReasons {
		r.BadDates[form]++
	}
}

// Worst returns the reason by which most entries are skipped that should not be, and the first of these; "" for none.
func (r *Report) Worst() (reason string, first Skip) {
	reasons := slices.SortedFunc(maps.Keys(r.Skipped), func(a, b string) int {
		return cmp.Or(cmp.Compare(r.Skipped[b], r.Skipped[a]), strings.Compare(a, b))
	})
	for _, reason := range reasons {
		if !chosen[reason] {
			return reason, r.First[reason][0]
		}
	}
	return "", Skip{}
}

// Failure says in one line what of a file yields nothing; empty if all does.
func (r *Report) Failure() string {
	bad := r.Bad()
	if bad == 0 {
		return ""
	}
	reason, first := r.Worst()
	return fmt.Sprintf("%d of %d entries hold no indicator, most: %s, first in line %d: %s", bad, r.Entries, reason, first.Line, first.Text)
}
