package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"custom-misp/engine/enrich"
	"custom-misp/misp"
	"custom-misp/misp/internal/jsonscan"
)

// A Clock is one of the two times by which MISP can be asked for what is new. Neither finds all: an attribute's own
// time does not move when a draft of an event is published or an event is pulled from another MISP; the event's time of
// publication does not move when something is edited, until it is published again.
type Clock string

// The clocks, by their names in MISP's searches.
const (
	ByTimestamp Clock = "timestamp"         // of the attribute's last change
	ByPublished Clock = "publish_timestamp" // of its event's last publication
)

// A Walk is the part of MISP to go through.
type Walk struct {
	// Clock and Since narrow it to what is not older; the whole of MISP if Since is zero.
	Clock Clock
	Since time.Time
	// Sightings asks MISP for sightings, which say what has expired. It costs MISP a query for each attribute.
	Sightings bool
	// Warninglists asks MISP which of its warninglists contain a value.
	Warninglists bool
}

// walkQuestion is the body of the search of a walk.
type walkQuestion struct {
	ReturnFormat           string `json:"returnFormat"`
	Timestamp              int64  `json:"timestamp,omitempty"` // seconds; 0 would be no filter
	PublishTimestamp       int64  `json:"publish_timestamp,omitempty"`
	Deleted                []int  `json:"deleted"` // [0,1]: live ones and deleted ones
	Limit                  int    `json:"limit"`
	Page                   int    `json:"page"`
	Order                  string `json:"order"`
	IncludeContext         bool   `json:"includeContext"`
	IncludeEventTags       bool   `json:"includeEventTags"`
	IncludeWarninglistHits bool   `json:"includeWarninglistHits,omitempty"`
	IncludeSightings       bool   `json:"includeSightings,omitempty"`
}

// WalkAll calls do with each attribute of MISP, in the order of their ids, deleted ones too: live says whether it is
// not. It does not filter by to_ids or published: MISP would then not report what loses either. It returns MISP's
// clock at the begin of the walk, zero if MISP does not say what time it is. Errors are [enrich.Trouble], or those of do.
func (c *Client) WalkAll(ctx context.Context, w Walk, do func(a misp.Attribute, live bool) error) (time.Time, error) {
	q := w.question()
	var began time.Time
	first := true
	at, before := "", "" // the first id of a page, and of the one before
	for ; q.Page*q.Limit <= maxWalk; q.Page++ {
		var failed error // of do
		before, at = at, ""
		n, date, err := c.page(ctx, q, func(a misp.Attribute, live bool) error {
			if at == "" {
				if at = a.ID; at != "" && at == before {
					return errSamePage
				}
			}
			failed = do(a, live)
			return failed
		})
		if failed != nil {
			return began, failed
		}
		if bad, ok := errors.AsType[badAnswer](err); ok && bad.permanent && q.Limit > leastPage {
			// Long texts, like rules and scripts: continue here in pages of a fifth of the size.
			q.Limit, q.Page = q.Limit/5, (q.Page-1)*5
			continue
		}
		if err != nil {
			return began, err
		}
		if first {
			began, first = date, false
		}
		if n < q.Limit { // the count that MISP gives in a header is wrong
			return began, nil
		}
	}
	return began, c.trouble(enrich.CodeBadAnswer, fmt.Sprintf("has more than %d attributes", maxWalk), remedyDropped, nil)
}

// errSamePage is an answer with the page before the one that was asked for.
var errSamePage = errors.New("the same page twice")

// question returns the search for the first page of a walk.
func (w Walk) question() walkQuestion {
	q := walkQuestion{
		ReturnFormat: "json", Deleted: []int{0, 1}, Limit: pageSize, Page: 1, Order: "Attribute.id asc",
		IncludeContext: true, IncludeEventTags: true, IncludeWarninglistHits: w.Warninglists, IncludeSightings: w.Sightings,
	}
	if w.Since.IsZero() {
		return q
	}
	seconds := max(1, w.Since.Unix())
	if w.Clock == ByPublished {
		q.PublishTimestamp = seconds
	} else {
		q.Timestamp = seconds
	}
	return q
}

func (c *Client) page(ctx context.Context, q walkQuestion, do func(a misp.Attribute, live bool) error) (int, time.Time, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("ask MISP: %w", err)
	}
	data, header, err := c.do(ctx, http.MethodPost, "attributes/restSearch", body)
	if err != nil {
		return 0, time.Time{}, err
	}
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		date = time.Time{}
	}
	n, err := decodeAnswer(ctx, data, do)
	if err != nil {
		return 0, date, c.searchTrouble(err)
	}
	return n, date, nil
}

// An IndexedEvent is an event in MISP's list of all that the user of the key may see.
type IndexedEvent struct {
	ID, UUID  string
	Published bool
}

// Events returns the list of all events. Only this list shows that an event was deleted or unpublished, or is no longer
// visible to the user of the key. Errors are [enrich.Trouble].
func (c *Client) Events(ctx context.Context) ([]IndexedEvent, error) {
	var all []IndexedEvent
	for page := 1; len(all) <= maxEvents; page++ {
		data, err := c.post(ctx, "events/index", []byte(`{"minimal":1,"limit":`+strconv.Itoa(indexPage)+`,"page":`+strconv.Itoa(page)+`}`))
		if err != nil {
			return nil, err
		}
		list, err := decodeIndex(ctx, data)
		if err != nil {
			return nil, c.indexTrouble(err)
		}
		all = append(all, list...)
		if len(list) < indexPage {
			return all, nil
		}
	}
	return nil, c.trouble(enrich.CodeBadAnswer, fmt.Sprintf("has more than %d events", maxEvents), remedyDropped, nil)
}

// decodeIndex reads a page of the list of events, which is valid JSON.
func decodeIndex(ctx context.Context, data []byte) (list []IndexedEvent, err error) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 || data[0] != '[' { // null would be taken for no events at all
		return nil, errNoIndex
	}
	if jsonscan.Longer(data, indexPage) {
		return nil, errLongIndex
	}
	for element := range jsonscan.Elements(data) {
		var w wireEvent
		if err := read(ctx, element, w.set); err != nil {
			return nil, err
		}
		e := IndexedEvent{text(w.id), text(w.uuid), flag(w.published)}
		if e.UUID == "" || len(e.UUID) > maxName || len(e.ID) > maxName {
			return nil, errNoUUID
		}
		list = append(list, e)
	}
	return list, nil
}

var (
	errNoIndex   = errors.New("not a list of events")
	errLongIndex = errors.New("more events than were asked for at most")
	errNoUUID    = errors.New("something without a UUID among its events")
)

// indexTrouble says why an answer is not a list of events.
func (c *Client) indexTrouble(err error) error {
	const itself = "is misp.url the address of MISP itself?"
	if t := c.readingTrouble(err); t != nil {
		return t
	}
	switch {
	case errors.Is(err, errLongIndex):
		return c.trouble(enrich.CodeBadAnswer, fmt.Sprintf("answered with more than the %d events that were asked for at most", indexPage), remedyDropped, err)
	case errors.Is(err, errNoUUID):
		return c.trouble(enrich.CodeBadAnswer, "answered with a list of events without UUIDs", itself, err)
	}
	return c.trouble(enrich.CodeBadAnswer, "answered with JSON that is not a list of events", itself, err)
}
