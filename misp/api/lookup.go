package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp"
)

const remedyDropped = "does something between here and MISP drop the question or its Content-Type?"

// question is the body of a search. The form of value matters: in a list of its own under OR, MISP takes "!",
// "||" and "&&" as they stand, but an empty item, or one that begins or ends with "%", still means much more
// than itself.
type question struct {
	ReturnFormat string `json:"returnFormat"`
	Value        struct {
		OR []string `json:"OR"`
	} `json:"value"`
	Type                   []engine.Type `json:"type"`
	ToIDs                  int           `json:"to_ids,omitempty"` // 1; a boolean or text would mean something else
	Limit                  int           `json:"limit"`
	Page                   int           `json:"page"`
	Order                  string        `json:"order"`
	IncludeContext         bool          `json:"includeContext"`
	IncludeEventTags       bool          `json:"includeEventTags"`
	IncludeWarninglistHits bool          `json:"includeWarninglistHits"`
	IncludeSightings       bool          `json:"includeSightings,omitempty"`  // costs MISP a query for each attribute of the answer
	IncludeDecayScore      bool          `json:"includeDecayScore,omitempty"` // costs MISP time, so only where a filter needs it
}

// An inquiry is a question together with what each value in it was asked for.
type inquiry struct {
	question question
	asked    map[engine.Indicator][]asking
	findings map[engine.Indicator][]*enrich.Finding // once it is asked
}

// An asking is one finding why an indicator is asked for.
type asking struct {
	number   int // of the observable, among all that are looked up
	filter   engine.Filter
	relation engine.Relation
}

// inquiries are questions that are being put together.
type inquiries struct {
	list  []inquiry
	place map[string]int // of a text: its question
	most  int            // values in a question
	// values and patterns are the questions that the next text goes into, -1 for none. Patterns have questions of their
	// own: MISP reads all values of the types that are asked for to answer one, which must not be more than need be.
	values, patterns int
}

// inquire puts the values that observables may be known by into as few questions as they fit in, each with so many values
// at most. Each value is in one question; those of one observable may be in several.
func inquire(observables []engine.Observable, base engine.Filter, most int) []inquiry {
	to := inquiries{place: map[string]int{}, most: most, values: -1, patterns: -1}
	for number, o := range observables {
		f := o.Filter.Over(base)
		if len(o.Type.Family().Asks()) == 0 {
			continue
		}
		for _, r := range o.Related() {
			if f.Wants(r.Kind) {
				to.ask(o.Texts(r), asking{number, f, r})
			}
		}
	}
	for i := range to.list {
		to.list[i].question.seal()
	}
	return to.list
}

// ask adds the texts of a relation to the questions.
func (q *inquiries) ask(texts engine.Texts, why asking) {
	var in []int // where the finding is noted: several texts in one question are one finding to ask
	put := func(text string, open *int, most int) {
		n, have := q.place[text]
		if !have {
			if *open < 0 || len(q.list[*open].question.Value.OR) >= most {
				*open = len(q.list)
				q.list = append(q.list, inquiry{newQuestion(), map[engine.Indicator][]asking{}, nil})
			}
			n = *open
			q.place[text] = n
			q.list[n].question.Value.OR = append(q.list[n].question.Value.OR, text)
		}
		if !slices.Contains(in, n) {
			in = append(in, n)
			q.list[n].add(why)
		}
	}
	for _, v := range texts.Values {
		if askable(v) {
			put(v, &q.values, q.most)
		}
	}
	for _, p := range texts.Patterns {
		if specific(p) {
			put(p, &q.patterns, maxPatterns)
		}
	}
}

// askable reports whether a value can be asked for as it stands. A % at either end is a wildcard, in whatever form; a
// value that is nothing to MISP's database would find almost all that it has.
func askable(value string) bool {
	v := trimmed(value)
	return weighs(v) && !strings.HasPrefix(v, "%") && !strings.HasSuffix(v, "%")
}

// specific reports whether a pattern has the wildcard that it begins with, none at its end, and says enough.
func specific(pattern string) bool {
	v := trimmed(pattern)
	return len(v) == len(pattern) && strings.HasPrefix(v, "%") && !strings.HasSuffix(v, "%") && weighs(lastName(unescapeLike.Replace(v)))
}

func trimmed(v string) string {
	return strings.TrimFunc(v, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
}

// weighs reports whether a value has a character that counts when MISP's database compares. Accents, blanks and
// invisible characters do not: alone, they equal the empty second half that most attributes have.
func weighs(v string) bool {
	return strings.ContainsFunc(norm.NFKD.String(v), func(r rune) bool {
		return unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S)
	})
}

func newQuestion() question {
	return question{
		ReturnFormat: "json", Limit: pageSize, Page: 1, Order: "Attribute.id asc",
		IncludeContext: true, IncludeEventTags: true, IncludeWarninglistHits: true, ToIDs: 1,
	}
}

// add notes why one of the values in an inquiry is asked for.
func (i *inquiry) add(a asking) {
	q := &i.question
	q.Type = append(q.Type, a.relation.Indicator.Family.Asks()...)
	i.asked[a.relation.Indicator] = append(i.asked[a.relation.Indicator], a)
	if a.filter.ToIDs == nil || !*a.filter.ToIDs {
		q.ToIDs = 0
	}
	q.IncludeSightings = q.IncludeSightings || a.filter.Expired != engine.ExpiredMatch
	q.IncludeDecayScore = q.IncludeDecayScore || a.filter.MinDecayScore != nil && *a.filter.MinDecayScore > 0
}

// seal sorts values and types and removes doubled types, so that equal questions have equal bytes.
func (q *question) seal() {
	slices.Sort(q.Value.OR)
	slices.Sort(q.Type)
	q.Type = slices.Compact(q.Type)
}

// Questions returns what MISP would be asked for the observables, under the configured filter: the body of each
// request, of the first page. It asks no one.
func Questions(observables []engine.Observable, filter engine.Filter) ([]json.RawMessage, error) {
	var bodies []json.RawMessage
	for _, i := range inquire(observables, filter, maxValues) {
		body, err := json.Marshal(i.question)
		if err != nil {
			return nil, fmt.Errorf("question to MISP: %w", err)
		}
		bodies = append(bodies, body)
	}
	return bodies, nil
}

// Lookup asks MISP for all observables in one question, or in one for each Config.MaxValues values. Of each observable it
// returns at most [enrich.MaxMatches] matches, of all [enrich.MaxAnswer]. Errors are [enrich.Trouble].
func (c *Client) Lookup(ctx context.Context, observables []engine.Observable) ([]enrich.Match, error) {
	now := time.Now()
	if c.now != nil {
		now = c.now()
	}
	found := enrich.NewAnswer(observables, c.filter, now)
	questions := inquire(observables, c.filter, c.maxValues)
	var once map[answered]bool // what two questions find is one match
	if len(questions) > 1 {
		once = map[answered]bool{}
	}
	for _, i := range questions {
		i.explain(found)
		err := c.lookup(ctx, i, func(r *enrich.Finding, a *misp.Attribute) {
			if once != nil {
				k := answered{r, a.ID, a.UUID}
				if once[k] {
					return
				}
				once[k] = true
			}
			a.Origin = c.origin
			found.Add(r, a)
		})
		if err != nil {
			return nil, err
		}
	}
	return found.Matches(), nil
}

// answered is an attribute that was found for a finding.
type answered struct {
	finding  *enrich.Finding
	id, uuid string
}

// explain puts the findings into an answer for which values are asked for. Observables share them.
func (i *inquiry) explain(found *enrich.Answer) {
	i.findings = make(map[engine.Indicator][]*enrich.Finding, len(i.asked))
	for indicator, asked := range i.asked {
		for _, why := range asked {
			k := enrich.Key{Relation: why.relation}
			r, known := found.Shared(why.number, k)
			if !known {
				r = found.Finding(why.number, k)
			}
			if !slices.Contains(i.findings[indicator], r) {
				i.findings[indicator] = append(i.findings[indicator], r)
			}
		}
	}
}

// lookup calls add with what is found for each finding.
func (c *Client) lookup(ctx context.Context, i inquiry, add func(*enrich.Finding, *misp.Attribute)) error {
	asked := i.question.askedFor()
	for i.question.Page = 1; i.question.Page <= maxPages; i.question.Page++ {
		some := false
		n, err := c.ask(ctx, i.question, func(a misp.Attribute, live bool) error {
			some = some || asked.answer(a.Value)
			if live {
				i.match(&a, add)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if n < pageSize { // the count that MISP gives in a header is wrong
			return nil
		}
		if !some {
			return c.trouble(enrich.CodeBadAnswer, fmt.Sprintf("answered with %d attributes, none of which was asked for", pageSize),
				remedyDropped, nil)
		}
	}
	return c.trouble(enrich.CodeBadAnswer, fmt.Sprintf("has more than %d attributes for %d values", maxPages*pageSize, len(i.question.Value.OR)),
		"no value has so many; see what MISP answers", nil)
}

// askedFor holds the values of a question.
type askedFor map[string]bool

func (q *question) askedFor() askedFor {
	asked := make(askedFor, len(q.Value.OR))
	for _, v := range q.Value.OR {
		asked[fold(v)] = true
		if strings.HasPrefix(v, "%") {
			asked[patternEnd(lastName(unescapeLike.Replace(v)))] = true
		}
	}
	return asked
}

// answer reports whether the value of an attribute is an answer to the question as MISP may understand it: it, or a
// part of it, was asked for.
func (a askedFor) answer(value string) bool {
	if a[fold(value)] {
		return true
	}
	// A pattern begins with what stands for anything, so an answer to one ends as it does.
	if last := lastName(value); len(last) < len(value) && a[patternEnd(last)] {
		return true
	}
	for part := range strings.SplitSeq(value, "|") {
		if a[fold(part)] {
			return true
		}
	}
	return false
}

// patternEnd is what askedFor has of a pattern that ends with the name of a file or of a key.
func patternEnd(name string) string { return `%\` + fold(name) }

// lastName returns what follows the last backslash.
func lastName(path string) string { return path[strings.LastIndexByte(path, '\\')+1:] }

// unescapeLike undoes the escapes of a pattern.
var unescapeLike = strings.NewReplacer(`\\`, `\`, `\%`, "%", `\_`, "_")

// fold returns a form that is the same for texts that differ in case alone.
func fold(s string) string { return strings.ToLower(strings.ToUpper(s)) }

// match pairs an attribute with the findings for which it was asked for. What was not asked for is dropped: MISP takes é for e
// and a full-width letter for a plain one.
func (i inquiry) match(a *misp.Attribute, add func(*enrich.Finding, *misp.Attribute)) {
	for _, indicator := range engine.Indicators(engine.Type(a.Type), a.Value) {
		for _, r := range i.findings[indicator] {
			add(r, a)
		}
	}
}

// ask sends one question, calls do with each attribute of the answer, and returns how many these are.
func (c *Client) ask(ctx context.Context, q question, do func(a misp.Attribute, live bool) error) (int, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return 0, fmt.Errorf("ask MISP: %w", err)
	}
	data, err := c.post(ctx, "attributes/restSearch", body)
	if err != nil {
		return 0, err
	}
	n, err := decodeAnswer(ctx, data, do)
	if err != nil {
		return 0, c.searchTrouble(err)
	}
	return n, nil
}

// searchTrouble says why an answer is not that of a search.
func (c *Client) searchTrouble(err error) error {
	if t := c.readingTrouble(err); t != nil {
		return t
	}
	if errors.Is(err, errOverLimit) {
		return c.trouble(enrich.CodeBadAnswer, fmt.Sprintf("answered with more than the %d attributes that were asked for at most", pageSize),
			remedyDropped, err)
	}
	if errors.Is(err, errSamePage) {
		return c.trouble(enrich.CodeBadAnswer, "answered with the same page twice", remedyDropped, err)
	}
	return c.trouble(enrich.CodeBadAnswer, "answered with JSON that is not a search result: "+shorten(err.Error()),
		"is misp.url the address of MISP itself?", err)
}
