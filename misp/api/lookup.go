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

const (
	maxValues = 1000 // in one question: the cost of a value has long stopped falling
	pageSize  = 5000 // attributes in one answer; a question without a limit may be answered with duplicates
	maxPages  = 20   // of one question
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
	observable engine.Observable
	filter     engine.Filter
	relation   engine.Relation
}

// inquire puts the values that observables may be known by into as few questions as they fit in. Each value is in one
// question; those of one observable may be in two.
func inquire(observables []engine.Observable, base engine.Filter) []inquiry {
	var inquiries []inquiry
	place := map[string]int{} // of a value: its question
	for _, o := range observables {
		f := o.Filter.Over(base)
		for _, r := range o.Related() {
			if !f.Wants(r.Kind) || r.Kind == engine.MatchExact && !askable(o) {
				continue
			}
			last := -1
			for _, v := range forms(o, r) {
				n, have := place[v]
				if !have {
					inquiries = withRoom(inquiries)
					n = len(inquiries) - 1
					place[v] = n
					inquiries[n].question.Value.OR = append(inquiries[n].question.Value.OR, v)
				}
				if n != last { // two spellings are one reason to ask
					inquiries[n].add(asking{o, f, r})
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
func withRoom(inquiries []inquiry) []inquiry {
	if n := len(inquiries); n > 0 && len(inquiries[n-1].question.Value.OR) < maxValues {
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
	for _, i := range inquire(observables, filter) {
		body, err := json.Marshal(i.question)
		if err != nil {
			return nil, fmt.Errorf("question to MISP: %w", err)
		}
		bodies = append(bodies, body)
	}
	return bodies, nil
}

// Lookup asks MISP for all observables in one question, or in one for each thousand values. Errors are
// [enrich.Trouble].
func (c *Client) Lookup(ctx context.Context, observables []engine.Observable) ([]enrich.Match, error) {
	var matches []enrich.Match
	for _, i := range inquire(observables, c.filter) {
		found, err := c.lookup(ctx, i)
		if err != nil {
			return nil, err
		}
		matches = append(matches, found...)
	}
	return matches, nil
}

func (c *Client) lookup(ctx context.Context, i inquiry) ([]enrich.Match, error) {
	var matches []enrich.Match
	for i.question.Page = 1; i.question.Page <= maxPages; i.question.Page++ {
		attributes, err := c.ask(ctx, i.question)
		if err != nil {
			return nil, err
		}
		for _, a := range attributes {
			if !a.Deleted {
				matches = append(matches, i.matches(a.attribute(), c.now())...)
			}
		}
		if len(attributes) < pageSize { // the count that MISP gives in a header is wrong
			return matches, nil
		}
		if !slices.ContainsFunc(attributes, i.question.answers) {
			return nil, c.trouble(enrich.CodeBadAnswer, fmt.Sprintf("answered with %d attributes, none of which was asked for", pageSize),
				remedyDropped, nil)
		}
	}
	return nil, c.trouble(enrich.CodeBadAnswer, fmt.Sprintf("has more than %d attributes for %d values", maxPages*pageSize, len(i.question.Value.OR)),
		"no value has so many; see what MISP answers", nil)
}

// answers reports whether an attribute is an answer to the question as MISP may understand it: its value, or a
// half of it, was asked for.
func (q *question) answers(w wireAttribute) bool {
	return slices.ContainsFunc(strings.Split(string(w.Value), "|"), func(half string) bool {
		return slices.ContainsFunc(q.Value.OR, func(asked string) bool { return strings.EqualFold(asked, half) })
	})
}

// matches pairs an attribute with the observables that asked for it. What nobody asked for is dropped: MISP
// takes é for e and a full-width letter for a plain one.
func (i inquiry) matches(a misp.Attribute, now time.Time) []enrich.Match {
	var matches []enrich.Match
	for _, indicator := range engine.Indicators(engine.Type(a.Type), a.Value) {
		for _, why := range i.asked[indicator] {
			if why.relation.Fits(engine.Type(a.Type)) && enrich.Accepts(why.filter, why.relation.Kind, a, now) {
				matches = append(matches, enrich.Match{Observable: why.observable, Attribute: a, Kind: why.relation.Kind})
			}
		}
	}
	return matches
}

// ask sends one question and returns the attributes of the answer.
func (c *Client) ask(ctx context.Context, q question) ([]wireAttribute, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("ask MISP: %w", err)
	}
	data, err := c.post(ctx, "attributes/restSearch", body)
	if err != nil {
		return nil, err
	}
	attributes, err := decodeAnswer(data)
	if err != nil {
		return nil, c.searchTrouble(err)
	}
	return attributes, nil
}

// searchTrouble says why an answer is not that of a search.
func (c *Client) searchTrouble(err error) error {
	if errors.Is(err, errOverLimit) {
		return c.trouble(enrich.CodeBadAnswer, fmt.Sprintf("answered with more than the %d attributes that were asked for at most", pageSize),
			remedyDropped, err)
	}
	return c.trouble(enrich.CodeBadAnswer, "answered with JSON that is not a search result: "+shorten(err.Error()),
		"is misp.url the address of MISP itself?", err)
}
