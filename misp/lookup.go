package misp

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/hashicorp/go-retryablehttp"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
)

const (
	maxValues = 1000 // in one question: the cost of a value has long stopped falling
	pageSize  = 5000 // attributes in one answer; a question without a limit may be answered with duplicates
	maxPages  = 20
)

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
}

// Lookup asks MISP for all observables in one question, or in one for each thousand values. Errors are
// [enrich.Trouble].
func (c *Client) Lookup(ctx context.Context, observables []engine.Observable) ([]enrich.Match, error) {
	var matches []enrich.Match
	for batch := range slices.Chunk(askable(observables), maxValues/2) { // some are asked for in two forms
		found, err := c.lookup(ctx, batch)
		if err != nil {
			return nil, err
		}
		matches = append(matches, found...)
	}
	return matches, nil
}

// askable leaves out what cannot be asked for as it stands: a % at either end is a wildcard, in whatever form.
func askable(observables []engine.Observable) []engine.Observable {
	return slices.DeleteFunc(slices.Clone(observables), func(o engine.Observable) bool {
		v := strings.TrimSpace(o.Value)
		return v == "" || strings.HasPrefix(v, "%") || strings.HasSuffix(v, "%") || len(o.Type.Family().Asks()) == 0
	})
}

// Questions returns what MISP would be asked for the observables, under the configured filter: the body of each
// request, of the first page. It asks nobody.
func Questions(observables []engine.Observable, filter engine.Filter) ([]json.RawMessage, error) {
	var bodies []json.RawMessage
	for batch := range slices.Chunk(askable(observables), maxValues/2) {
		body, err := json.Marshal(newQuestion(batch, filter))
		if err != nil {
			return nil, fmt.Errorf("question to MISP: %w", err)
		}
		bodies = append(bodies, body)
	}
	return bodies, nil
}

func newQuestion(observables []engine.Observable, filter engine.Filter) question {
	q := question{
		ReturnFormat: "json", Limit: pageSize, Page: 1, Order: "Attribute.id asc",
		IncludeContext: true, IncludeEventTags: true, IncludeWarninglistHits: true, ToIDs: 1,
	}
	for _, o := range observables {
		q.Value.OR = append(q.Value.OR, spellings(o)...)
		q.Type = append(q.Type, o.Type.Family().Asks()...)
		if f := o.Filter.Over(filter); f.ToIDs == nil || !*f.ToIDs {
			q.ToIDs = 0
		}
	}
	slices.Sort(q.Value.OR)
	q.Value.OR = slices.Compact(q.Value.OR)
	slices.Sort(q.Type)
	q.Type = slices.Compact(q.Type)
	return q
}

func (c *Client) lookup(ctx context.Context, observables []engine.Observable) ([]enrich.Match, error) {
	q := newQuestion(observables, c.filter)
	asked := map[engine.Indicator][]engine.Observable{}
	for _, o := range observables {
		asked[o.Indicator()] = append(asked[o.Indicator()], o)
	}
	var matches []enrich.Match
	for ; q.Page <= maxPages; q.Page++ {
		attributes, err := c.ask(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, a := range attributes {
			if !a.Deleted {
				matches = append(matches, c.matches(a.attribute(), asked)...)
			}
		}
		if len(attributes) < pageSize {
			break
		}
	}
	return matches, nil
}

// spellings returns the forms in which MISP may have stored the value of an observable: it strips the letters of
// an AS number, and a URL of a host alone may end in a slash there.
func spellings(o engine.Observable) []string {
	if digits, ok := strings.CutPrefix(o.Value, "AS"); ok && o.Type.Family() == engine.Type("AS").Family() {
		return []string{o.Value, digits}
	}
	if _, rest, ok := strings.Cut(o.Value, "://"); ok && o.Type.Family() == engine.Type("url").Family() && !strings.ContainsAny(rest, "/?#") {
		return []string{o.Value, o.Value + "/"}
	}
	return []string{o.Value}
}

// matches pairs an attribute with the observables that asked for it. What nobody asked for is dropped: MISP
// takes é for e and a full-width letter for a plain one.
func (c *Client) matches(a enrich.Attribute, asked map[engine.Indicator][]engine.Observable) []enrich.Match {
	var matches []enrich.Match
	for _, i := range engine.Indicators(a.Type, a.Value) {
		for _, o := range asked[i] {
			if enrich.Accepts(o.Filter.Over(c.filter), a) {
				matches = append(matches, enrich.Match{Observable: o, Attribute: a})
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
	req, err := retryablehttp.NewRequestWithContext(withTries(ctx), http.MethodPost, c.search, body)
	if err != nil {
		return nil, fmt.Errorf("ask MISP: %w", err)
	}
	// Without this type MISP would ignore the question and answer with everything it has.
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", c.key)
	req.Header.Set("User-Agent", c.userAgent)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.connectionTrouble(err)
	}
	defer resp.Body.Close()            //nolint:errcheck // only read
	data, err := io.ReadAll(resp.Body) // bounded by wholeAnswers
	if err != nil {
		return nil, c.connectionTrouble(err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, c.statusTrouble(resp, data)
	}
	if int64(len(data)) > c.maxAnswer {
		return nil, c.trouble(enrich.CodeBadAnswer, fmt.Sprintf("answered with more than %d bytes", c.maxAnswer),
			"this is no answer to a question for a few values; see what stands between here and MISP", nil)
	}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != "application/json" {
		return nil, c.trouble(enrich.CodeBadAnswer, fmt.Sprintf("answered with %s instead of JSON", describeKind(kind)),
			"is misp.url the address of MISP itself, and no proxy or login page in between?", nil)
	}
	attributes, err := decodeAnswer(data)
	if err != nil {
		return nil, c.trouble(enrich.CodeBadAnswer, "answered with JSON that is not a search result: "+shorten(err.Error()),
			"is misp.url the address of MISP itself?", err)
	}
	return attributes, nil
}

func describeKind(kind string) string {
	if kind == "" {
		return "something of no known type"
	}
	return kind
}
