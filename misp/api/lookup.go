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
	IncludeDecayScore      bool          `json:"includeDecayScore,omitempty"` // costs MISP time, so only where a filter needs it
}

// An inquiry is a question together with what each value in it was asked for.
type inquiry struct {
	question question
	asked    map[engine.Indicator][]asking
}

// An asking is one reason why an indicator is asked for.
type asking struct {
	number     int // of the observable, among all that are looked up
	observable engine.Observable
	filter     engine.Filter
	relation   engine.Relation
}

// inquire puts the values that observables may be known by into as few questions as they fit in, each with so many at most.
// Each value is in one question; those of one observable may be in two.
func inquire(observables []engine.Observable, base engine.Filter, most int) []inquiry {
	var inquiries []inquiry
	place := map[string]int{} // of a value: its question
	for number, o := range observables {
		f := o.Filter.Over(base)
		for _, r := range o.Related() {
			if !f.Wants(r.Kind) || r.Kind == engine.MatchExact && !askable(o) {
				continue
			}
			last := -1
			for _, v := range forms(o, r) {
				n, have := place[v]
				if !have {
					inquiries = withRoom(inquiries, most)
					n = len(inquiries) - 1
					place[v] = n
					inquiries[n].question.Value.OR = append(inquiries[n].question.Value.OR, v)
				}
				if n != last { // two spellings are one reason to ask
					inquiries[n].add(asking{number, o, f, r})
				}
				last = n
			}
		}
	}
	for i := range inquiries {
		inquiries[i].question.seal()
	}
	return inquiries
}

// forms returns the texts in which a relation of an observable is asked for.
func forms(o engine.Observable, r engine.Relation) []string {
	if r.Kind == engine.MatchExact {
		return o.Spellings()
	}
	return []string{r.Indicator.Key}
}

// withRoom adds a question if the last one is full, or if there is none.
func withRoom(inquiries []inquiry, most int) []inquiry {
	if n := len(inquiries); n > 0 && len(inquiries[n-1].question.Value.OR) < most {
		return inquiries
	}
	return append(inquiries, inquiry{newQuestion(), map[engine.Indicator][]asking{}})
}

// askable reports whether the value of an observable can be asked for as it stands. A % at either end is a
// wildcard, in whatever form; a value that is nothing to MISP's database would find almost all that it has.
func askable(o engine.Observable) bool {
	v := strings.TrimFunc(o.Value, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
	return weighs(v) && !strings.HasPrefix(v, "%") && !strings.HasSuffix(v, "%") && len(o.Type.Family().Asks()) > 0
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
	q.IncludeDecayScore = q.IncludeDecayScore || a.filter.MinDecayScore != nil && *a.filter.MinDecayScore > 0
}

// seal brings a question that is complete into the one form that it is sent in.
func (q *question) seal() {
	slices.Sort(q.Value.OR)
	slices.Sort(q.Type)
	q.Type = slices.Compact(q.Type)
}

// Questions returns what MISP would be asked for the observables, under the configured filter: the body of each
// request, of the first page. It asks nobody.
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
// returns at most [enrich.MaxMatches] matches. Errors are [enrich.Trouble].
func (c *Client) Lookup(ctx context.Context, observables []engine.Observable) ([]enrich.Match, error) {
	found := make([]enrich.Strongest, len(observables))
	for _, i := range inquire(observables, c.filter, c.maxValues) {
		if err := c.lookup(ctx, i, found); err != nil {
			return nil, err
		}
	}
	var matches []enrich.Match
	for i := range found {
		matches = found[i].AppendTo(matches)
	}
	return matches, nil
}

// lookup adds what is found to the matches of each observable.
func (c *Client) lookup(ctx context.Context, i inquiry, found []enrich.Strongest) error {
	asked := i.question.askedFor()
	for i.question.Page = 1; i.question.Page <= maxPages; i.question.Page++ {
		answered := false
		n, err := c.ask(ctx, i.question, func(a misp.Attribute, live bool) error {
			answered = answered || asked.answer(a.Value)
			if live {
				i.match(a, c.now(), func(number int, m enrich.Match) { found[number].Add(m) })
			}
			return nil
		})
		if err != nil {
			return err
		}
		if n < pageSize { // the count that MISP gives in a header is wrong
			return nil
		}
		if !answered {
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
	}
	return asked
}

// answer reports whether the value of an attribute is an answer to the question as MISP may understand it: it, or a
// part of it, was asked for.
func (a askedFor) answer(value string) bool {
	if a[fold(value)] {
		return true
	}
	for part := range strings.SplitSeq(value, "|") {
		if a[fold(part)] {
			return true
		}
	}
	return false
}

// fold returns a form that is the same for texts that differ in case alone.
func fold(s string) string { return strings.ToLower(strings.ToUpper(s)) }

// match pairs an attribute with the observables that asked for it. What nobody asked for is dropped: MISP takes é for e
// and a full-width letter for a plain one.
func (i inquiry) match(a misp.Attribute, now time.Time, add func(number int, m enrich.Match)) {
	for _, indicator := range engine.Indicators(engine.Type(a.Type), a.Value) {
		for _, why := range i.asked[indicator] {
			if why.relation.Fits(engine.Type(a.Type)) && enrich.Accepts(why.filter, why.relation.Kind, a, now) {
				add(why.number, enrich.Match{Observable: why.observable, Attribute: a, Kind: why.relation.Kind})
			}
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
