package enrich

import (
	"cmp"
	"slices"
	"strings"
	"time"
	"unsafe"

	"custom-misp/engine"
	"custom-misp/misp"
)

const (
	// MaxMatches is how many matches of one observable a look-up returns, the strongest. Whoever gets so many has to expect
	// that there are more.
	MaxMatches = 5000
	// MaxAnswer is how many matches a look-up returns, and an alert has, of all observables together: of each of them the
	// strongest, and the same number at most. An answer for several alerts that has more than half of that may be short of
	// matches because of them.
	MaxAnswer = 20_000
	// maxAnswerBytes is how much memory the attributes of a look-up take, about. Beyond that, weaker matches are left out, and
	// of attributes that alone take too much the texts are shortened.
	maxAnswerBytes = 16 << 20
	// maxText is how long texts are then, in bytes, and maxValueText the value.
	maxText      = 1000
	maxValueText = 8000
	// slimmed is the memory of an attribute from which that is done.
	slimmed = 16 << 10
)

// An Answer puts together what a look-up finds. It keeps an attribute once, however many observables it matches, and
// takes memory for about twice [MaxAnswer] attributes, whatever there is.
type Answer struct {
	observables []engine.Observable
	base        engine.Filter
	bases       map[int]engine.Filter // of sources that have another one, see [Answer.FilterBy]
	now         time.Time
	of          [][]*Finding // by number of the observable
	all         []*Finding
	shared      map[findingKey]*Finding // nil while there are few
	held, bytes int                     // of all findings
	mostHeld    int                     // weaker matches are left out when there are so many
	mostBytes   int
	last        *misp.Attribute
	// first are where of, all and a list of findings begin: most look-ups need no more.
	first struct {
		of  [1][]*Finding
		all [4]*Finding
		one [1]*Finding
	}
}

// A Finding is why an attribute matches observables: the indicator by which it was found, the kind of the match, and the
// filter. Names below one domain share it. It holds the attributes.
type Finding struct {
	key      findingKey
	relation engine.Relation
	filter   engine.Filter
	found    []found
	sorted   bool
	more     bool  // weaker ones were left out
	refused  bool  // filters left some out
	weakest  found // that was kept when that happened
	first    [1]found
}

type found struct {
	attribute *misp.Attribute
	bytes     int
	expired   bool
}

type findingKey struct {
	Key
	filter *engine.Filter
}

// A Key says what is looked up for a [Finding]. Source and Literal tell look-ups of one indicator apart.
type Key struct {
	engine.Relation
	Literal engine.Indicator
	Source  int
}

// fewFindings is how many findings are compared one by one.
const fewFindings = 8

// NewAnswer returns an answer about observables without matches. base is the filter where an observable has none.
func NewAnswer(observables []engine.Observable, base engine.Filter, now time.Time) *Answer {
	return &Answer{observables: observables, base: base, now: now, mostHeld: 2 * MaxAnswer, mostBytes: 2 * maxAnswerBytes}
}

// FilterBy sets the filters of sources that have another one than the answer, by [Key.Source].
func (a *Answer) FilterBy(bases map[int]engine.Filter) { a.bases = bases }

// Shared returns a finding of another observable that is one of this observable too: then nothing has to be looked up. It
// is false if there is none.
func (a *Answer) Shared(number int, k Key) (*Finding, bool) {
	if len(a.all) == 0 {
		return nil, false
	}
	key := findingKey{k, a.observables[number].Filter}
	r, known := a.shared[key]
	if a.shared == nil {
		if i := slices.IndexFunc(a.all, func(r *Finding) bool { return r.key == key }); i >= 0 {
			r, known = a.all[i], true
		}
	}
	// The same observable may ask for it again, in another question.
	if known && !slices.Contains(a.of[number], r) {
		a.of[number] = append(a.of[number], r)
	}
	return r, known
}

// Finding returns a new finding of the observable with a number.
func (a *Answer) Finding(number int, k Key) *Finding {
	key := findingKey{k, a.observables[number].Filter}
	base, own := a.bases[k.Source]
	if !own {
		base = a.base
	}
	r := &Finding{key: key, relation: k.Relation, filter: key.filter.Over(base)}
	r.found = r.first[:0]
	if a.all == nil {
		a.all = a.first.all[:0]
	}
	a.all = append(a.all, r)
	if a.of == nil {
		if a.of = a.first.of[:]; len(a.observables) > 1 {
			a.of = make([][]*Finding, len(a.observables))
		}
		a.of[number] = a.first.one[:0]
	}
	a.of[number] = append(a.of[number], r)
	switch {
	case a.shared != nil:
		a.shared[key] = r
	case len(a.all) > fewFindings:
		a.shared = map[findingKey]*Finding{}
		for _, r := range a.all {
			a.shared[r.key] = r
		}
	}
	return r
}

// More notes that a finding has more attributes than were added.
func (r *Finding) More() { r.more = true }

// Add adds an attribute that was found, if it fits the finding. It must not change after that.
func (a *Answer) Add(r *Finding, m *misp.Attribute) {
	if !r.relation.Fits(engine.Type(m.Type)) {
		return
	}
	if !Accepts(r.filter, r.relation.Kind, *m, a.now) {
		r.refused = true
		return
	}
	f := found{attribute: m, expired: r.filter.Expired != engine.ExpiredMatch && m.Expired(a.now)}
	if r.weakest.attribute != nil && compareFound(f, r.weakest) >= 0 {
		return
	}
	f.bytes = sizeOf(m, a.last)
	a.last = m
	r.found, r.sorted = append(r.found, f), false
	a.held++
	a.bytes += f.bytes
	if len(r.found) >= 2*MaxMatches {
		a.cutTo(r, MaxMatches)
	}
	if a.held >= a.mostHeld || a.bytes >= a.mostBytes {
		a.cut()
	}
}

// cut leaves out the weaker matches of those findings that have most.
func (a *Answer) cut() {
	counts := make([]int, len(a.all))
	for i, r := range a.all {
		counts[i] = len(r.found)
	}
	most := share(counts, MaxAnswer)
	for {
		for _, r := range a.all {
			a.cutTo(r, most)
		}
		if a.bytes <= maxAnswerBytes || most == 1 {
			break
		}
		most = min(most/2, slices.Max(counts)/2)
		most = max(1, most)
	}
	if a.bytes > maxAnswerBytes {
		a.slim()
	}
	a.mostHeld, a.mostBytes = max(2*MaxAnswer, 2*a.held), max(2*maxAnswerBytes, 2*a.bytes)
}

// cutTo leaves out all but a number of the matches of a finding.
func (a *Answer) cutTo(r *Finding, most int) {
	if len(r.found) <= most {
		return
	}
	r.sort()
	for _, f := range r.found[most:] {
		a.bytes -= f.bytes
	}
	a.held -= len(r.found) - most
	r.found = slices.Clone(r.found[:most])
	r.weakest, r.more = r.found[most-1], true
}

// slim shortens the texts of large attributes.
func (a *Answer) slim() {
	for _, r := range a.all {
		for i := range r.found {
			f := &r.found[i]
			if f.bytes <= slimmed {
				continue
			}
			f.attribute, r.more = slimOf(f.attribute), true
			a.bytes -= f.bytes
			f.bytes = sizeOf(f.attribute, nil)
			a.bytes += f.bytes
		}
	}
}

// slimOf returns an attribute with short texts, that shares no memory with the long ones.
func slimOf(m *misp.Attribute) *misp.Attribute {
	s := *m
	e := &s.Event
	for _, text := range []*string{
		&s.ID, &s.UUID, &s.Type, &s.Category, &s.Comment, &s.FirstSeen, &s.LastSeen, &e.ID, &e.UUID, &e.Info, &e.Org, &e.OrgUUID, &e.Date,
	} {
		*text = shortened(*text, maxText)
	}
	s.Value = shortened(s.Value, maxValueText)
	s.Tags, s.Warninglists, e.Tags = shortList(m.Tags), shortList(m.Warninglists), nil
	if tlp := misp.TLP(m.Tags); tlp != misp.TLP(s.Tags) {
		s.Tags = append(s.Tags, "tlp:"+tlp)
	}
	return &s
}

func shortened(text string, most int) string {
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "")
	}
	return strings.Clone(text)
}

// shortList returns the first texts of a list, as far as they fit.
func shortList(texts []string) (list []string) {
	left := maxText
	for _, t := range texts {
		if left -= len(t); left < 0 {
			break
		}
		list = append(list, strings.Clone(t))
	}
	return list
}

// sizeOf returns how much memory an attribute takes, about, beside the one that was added before, whose event may be the
// same.
func sizeOf(m, before *misp.Attribute) int {
	n := int(unsafe.Sizeof(*m)) + len(m.Value) + len(m.Comment) + len(m.FirstSeen) + len(m.LastSeen) + textSize(m.Warninglists)
	if !same(m.Tags, m.Event.Tags) {
		own := m.Tags[:max(0, len(m.Tags)-len(m.Event.Tags))] // what follows are texts of the event
		n += textSize(own) + 16*(len(m.Tags)-len(own))
	}
	if before == nil || !same(m.Event.Tags, before.Event.Tags) || m.Event.UUID != before.Event.UUID {
		n += textSize(m.Event.Tags) + len(m.Event.Info) + len(m.Event.Org)
	}
	return n
}

// same reports whether two lists are the same memory, or both empty.
func same(a, b []string) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }

func textSize(texts []string) (n int) {
	for _, t := range texts {
		n += 16 + len(t)
	}
	return n
}

func (r *Finding) sort() {
	if !r.sorted {
		slices.SortStableFunc(r.found, compareFound)
		r.sorted = true
	}
}

// Refused returns the observables that are known, and of which filters left everything out.
func (a *Answer) Refused() (all []engine.Observable) {
	for number, findings := range a.of {
		some := slices.ContainsFunc(findings, func(r *Finding) bool { return r.refused })
		if some && !slices.ContainsFunc(findings, func(r *Finding) bool { return len(r.found) > 0 }) {
			all = append(all, a.observables[number])
		}
	}
	return all
}

// Matches returns the matches: of each observable in the order in which they were added, or the strongest first if they
// are not all.
func (a *Answer) Matches() []Match {
	if a.held == 0 {
		return nil
	}
	if len(a.of) == 1 {
		return a.appendOf(nil, 0, MaxMatches)
	}
	counts, total := make([]int, len(a.of)), 0
	for number, findings := range a.of {
		for _, r := range findings {
			counts[number] += len(r.found)
		}
		total += counts[number]
	}
	most := share(counts, MaxAnswer)
	matches := make([]Match, 0, min(total, MaxAnswer+len(counts)))
	for number := range a.of {
		matches = a.appendOf(matches, number, most)
	}
	return matches
}

// appendOf appends the matches of one observable, a number of them at most.
func (a *Answer) appendOf(to []Match, number, most int) []Match {
	begin, more := len(to), false
	for _, r := range a.of[number] {
		list := r.found
		more = more || r.more
		if len(list) > most {
			r.sort()
			list, more = r.found[:most], true
		}
		for _, f := range list {
			to = append(to, Match{Observable: a.observables[number], Attribute: f.attribute, Kind: r.relation.Kind, Expired: f.expired})
		}
	}
	mine := strongest(to[begin:], most)
	more = more || begin+len(mine) < len(to)
	for i := range mine {
		mine[i].More = more
	}
	return to[:begin+len(mine)]
}

// strongest returns a number of matches of one observable at most, the strongest first if they are not all. It uses their
// memory.
func strongest(matches []Match, most int) []Match {
	if len(matches) <= most {
		return matches
	}
	slices.SortStableFunc(matches, compareStrength)
	clear(matches[most:]) // their memory is not needed any more
	return matches[:most]
}

// limited returns the matches of one alert within [MaxAnswer]. Several look-ups may have found them.
func limited(matches []Match) []Match { return limitedTo(matches, MaxAnswer) }

// limitedTo returns a number of matches at most: of each observable the strongest, one at least.
func limitedTo(matches []Match, all int) []Match {
	if len(matches) <= all {
		return matches
	}
	number := map[answerKey]int{}
	var of [][]Match
	var counts []int
	for _, m := range matches {
		k := keyOf(m.Observable)
		n, have := number[k]
		if !have {
			n = len(of)
			number[k] = n
			of, counts = append(of, nil), append(counts, 0)
		}
		of[n] = append(of[n], m)
		counts[n]++
	}
	most := share(counts, all)
	kept := make([]Match, 0, all+len(of))
	for _, mine := range of {
		few := strongest(mine, most)
		for i := range few {
			few[i].More = few[i].More || len(few) < len(mine)
		}
		kept = append(kept, few...)
	}
	return kept
}

// share returns how many each may have at most, 1 at least, so that all have no more than most together, or no more than
// one each.
func share(counts []int, most int) int {
	total := 0
	for _, n := range counts {
		total += n
	}
	if total <= most {
		return MaxMatches
	}
	left := most
	sorted := slices.Sorted(slices.Values(counts))
	for i, n := range sorted {
		each := left / (len(sorted) - i)
		if n > each {
			return min(max(1, each), MaxMatches)
		}
		left -= n
	}
	return MaxMatches
}

var kinds = engine.MatchKinds() // the closest first

// compareStrength orders matches with the strongest first: those that have not expired, then flagged for detection, then the closest kind, then by threat
// level, then the newest. Equal ones are ordered by UUID, so that the same answer always gives the same event.
func compareStrength(a, b Match) int {
	return cmp.Or(
		compareFlags(a.Expired, b.Expired, a.Attribute, b.Attribute),
		cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, b.Kind)),
		compareRest(a.Attribute, b.Attribute),
	)
}

// compareFound is compareStrength for matches of one kind.
func compareFound(a, b found) int {
	return cmp.Or(compareFlags(a.expired, b.expired, a.attribute, b.attribute), compareRest(a.attribute, b.attribute))
}

func compareFlags(expiredA, expiredB bool, a, b *misp.Attribute) int {
	if expiredA != expiredB {
		if expiredB {
			return -1
		}
		return 1
	}
	if a.ToIDs != b.ToIDs {
		if a.ToIDs {
			return -1
		}
		return 1
	}
	return 0
}

func compareRest(a, b *misp.Attribute) int {
	return cmp.Or(
		cmp.Compare(a.Event.ThreatLevel.Rank(), b.Event.ThreatLevel.Rank()),
		b.Timestamp.Compare(a.Timestamp),
		cmp.Compare(a.UUID, b.UUID),
	)
}
