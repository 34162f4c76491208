package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"custom-misp/engine/enrich"
	"custom-misp/misp"
)

// A Reading goes through the attributes of some events, page by page: [Client.Read] returns a page, and the Reading for
// the next. It is a plain value, so that a caller can keep it and go on after a failure, or in another process.
//
// Pages of MISP are counted from the start, so an attribute that is deleted for good meanwhile moves those behind it to a
// page that was read. So only one event is read in several pages, in the order of the ids of its attributes, and each page
// begins before the end of the one before: what was not seen of it shows that some moved, and then it goes back.
type Reading struct {
	// Events are ids of events, at least one.
	Events []string
	// Since leaves out attributes that were not changed since, by their own times; zero for all.
	Since time.Time
	// Deleted asks for deleted attributes too.
	Deleted bool
	// Warninglists asks MISP which of its warninglists contain a value.
	Warninglists bool
	// Sightings asks MISP for sightings, which say what has expired. It costs MISP a query for each attribute.
	Sightings bool

	// Limit is how many attributes are asked for at once, from 40 to [PageSize]; 0 for that. It gets less where answers
	// are too long.
	Limit int
	// Rows is how many attributes are before the end of the last page, and Last the highest id among them.
	Rows int
	Last int64
	// Offset is how many attributes are before the last page, and First the first id in it.
	Offset int
	First  int64
}

// PageSize is how many attributes a page has at most.
const PageSize = pageSize

// A Row is an attribute of a page.
type Row struct {
	misp.Attribute
	Live bool // not deleted
}

// A Page is an answer to a Reading.
type Page struct {
	Rows []Row
	// More says that there is more than this page. Several events that do not fit on a page have to be read in smaller
	// groups: there is no next page for them.
	More bool
	// Next is the Reading for what follows.
	Next Reading
	// Bytes is how long the answer was.
	Bytes int
	// Continued says that the page is not the first.
	Continued bool
}

// readQuestion is the body of the search for a page.
type readQuestion struct {
	ReturnFormat           string   `json:"returnFormat"`
	EventID                []string `json:"eventid,omitempty"`   // an empty list would be no filter
	Timestamp              int64    `json:"timestamp,omitempty"` // seconds; 0 would be no filter
	Deleted                []int    `json:"deleted,omitempty"`   // [0,1]: live ones and deleted ones
	Limit                  int      `json:"limit"`
	Page                   int      `json:"page"`
	Order                  string   `json:"order,omitempty"`
	IncludeContext         bool     `json:"includeContext"`
	IncludeEventTags       bool     `json:"includeEventTags"`
	IncludeWarninglistHits bool     `json:"includeWarninglistHits,omitempty"`
	IncludeSightings       bool     `json:"includeSightings,omitempty"`
}

var (
	errNoEvents   = errors.New("a reading of no events, which MISP would take for all of them")
	errReadingEnd = errors.New("several events have no second page; read them one by one")
)

// Read asks for a page. It does not filter by to_ids or published: MISP would then not report what loses either. Errors
// are [enrich.Trouble].
func (c *Client) Read(ctx context.Context, r Reading) (Page, error) {
	switch {
	case len(r.Events) == 0:
		return Page{}, errNoEvents
	case len(r.Events) > 1 && r.Rows > 0:
		return Page{}, errReadingEnd
	case r.Rows > maxReading:
		return Page{}, c.trouble(enrich.CodeBadAnswer, fmt.Sprintf("has more than %d attributes in event %s", maxReading, r.Events[0]), remedyDropped, nil)
	}
	if r.Limit <= 0 {
		r.Limit = pageSize
	}
	r.Limit = min(max(r.Limit, leastPage), pageSize)
	for back := 1; ; back *= 50 {
		page, moved, err := c.readPage(ctx, r, back)
		switch {
		case tooLong(err) && r.Limit > leastPage:
			// Long texts, like rules and scripts: a fifth of the size.
			r.Limit = max(leastPage, r.Limit/5)
			if len(r.Events) > 1 {
				return Page{More: true, Next: r}, nil
			}
			back = 1
		case err != nil || !moved:
			return page, err
		}
	}
}

// slice returns the page and the limit of a question that begins before what was read, by at least back rows, and brings
// as many new rows as can be. MISP counts pages in units of the limit, so the limit is what can be chosen.
func (r Reading) slice(back int) (page, limit int) {
	page, limit = 1, r.Limit
	end := 0
	for l := min(r.Limit, r.Rows-back); l > r.Limit*3/4; l-- {
		if before := (r.Rows - back) / l; (before+1)*l > end {
			page, limit, end = before+1, l, (before+1)*l
		}
	}
	return page, limit
}

// readPage asks for the page that begins some rows before the end of what was read. moved says that so many rows are gone
// that some may have been left out.
func (c *Client) readPage(ctx context.Context, r Reading, back int) (p Page, moved bool, err error) {
	q := r.question()
	q.Page, q.Limit = r.slice(back)
	body, err := json.Marshal(q)
	if err != nil {
		return p, false, fmt.Errorf("ask MISP: %w", err)
	}
	data, _, err := c.do(ctx, http.MethodPost, "attributes/restSearch", body)
	if err != nil {
		return p, false, err
	}
	p.Bytes, p.Next, p.Continued = len(data), r, r.Rows > 0
	first := int64(-1)
	n, err := decodeAnswer(ctx, data, func(a misp.Attribute, live bool) error {
		id, err := strconv.ParseInt(a.ID, 10, 64)
		if err != nil && q.Order != "" {
			return errNoID
		}
		if first < 0 {
			first = id
		}
		if id > r.Last || q.Order == "" {
			p.Rows = append(p.Rows, Row{a, live})
			p.Next.Last = max(p.Next.Last, id)
		}
		return nil
	})
	if err == nil && n > q.Limit {
		err = errOverLimit
	}
	if err != nil {
		return p, false, c.searchTrouble(err)
	}
	if q.Page > 1 && (n == 0 || first > r.Last) {
		return p, true, nil
	}
	offset := (q.Page - 1) * q.Limit
	if q.Page > 1 && offset > r.Offset && first <= r.First {
		return p, false, c.searchTrouble(errSamePage)
	}
	p.Next.Offset, p.Next.First = offset, first
	p.Next.Rows, p.More = offset+n, n == q.Limit
	return p, false, nil
}

// errNoID is an attribute that cannot be put in order.
var errNoID = errors.New("an attribute without an id")

// errSamePage is an answer with a page that was read before.
var errSamePage = errors.New("the same page twice")

// question returns the search, but for page and limit. An order costs MISP time, and is only needed where there are
// several pages.
func (r Reading) question() readQuestion {
	q := readQuestion{
		ReturnFormat: "json", EventID: r.Events, IncludeContext: true, IncludeEventTags: true,
		IncludeWarninglistHits: r.Warninglists, IncludeSightings: r.Sightings,
	}
	if len(r.Events) == 1 {
		q.Order = "Attribute.id asc"
	}
	if r.Deleted {
		q.Deleted = []int{0, 1}
	}
	if !r.Since.IsZero() {
		q.Timestamp = max(1, r.Since.Unix())
	}
	return q
}
