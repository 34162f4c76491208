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
	"custom-misp/misp/internal/jsonscan"
)

// A Clock is one of the two times of an event by which MISP can be asked for what is new. Neither finds all: the time of
// its last change does not move when it is published, and is that of another server when it came from there; the time of
// its last publication does not move when something is edited.
type Clock string

// The clocks, by their names in MISP's list of events.
const (
	ByTimestamp Clock = "timestamp"
	ByPublished Clock = "publish_timestamp"
)

// An EventList is the part of MISP's list of events to ask for. The zero value is the short list: all events that the user
// of the key may see, but for those whose counter of attributes is 0, which may be wrong: that an event is not in it does
// not prove that it is gone.
type EventList struct {
	// Counted asks for the long list, which leaves no event out and has the counters. It costs MISP more.
	Counted bool
	// Clock and Since narrow the list to what is not older; all events if Since is zero.
	Clock Clock
	Since time.Time
}

// An IndexedEvent is an event in MISP's list of all that the user of the key may see.
type IndexedEvent struct {
	ID, UUID  string
	Published bool
	// Timestamp is when it was last changed, in seconds since 1970, in the words of MISP.
	Timestamp string
	// Attributes is how many attributes MISP counts, which may be wrong; -1 in the short list.
	Attributes int
}

// indexQuestion is the body of a question for the list of events.
type indexQuestion struct {
	Minimal          int    `json:"minimal,omitempty"`
	Timestamp        int64  `json:"timestamp,omitempty"` // seconds; 0 would be no filter
	PublishTimestamp int64  `json:"publish_timestamp,omitempty"`
	Limit            int    `json:"limit"`
	Page             int    `json:"page"`
	Sort             string `json:"sort"`
	Direction        string `json:"direction"`
}

func (l EventList) question() indexQuestion {
	q := indexQuestion{Minimal: 1, Limit: indexPage, Page: 1, Sort: "id", Direction: "asc"}
	if l.Counted {
		q.Minimal, q.Limit = 0, countedPage
	}
	if l.Since.IsZero() {
		return q
	}
	if seconds := max(1, l.Since.Unix()); l.Clock == ByPublished {
		q.PublishTimestamp = seconds
	} else {
		q.Timestamp = seconds
	}
	return q
}

// Events returns MISP's list of events, and MISP's clock when it was asked for, zero if MISP does not say what time it
// is. Lists do not count for the rate limit of a role. Errors are [enrich.Trouble].
func (c *Client) Events(ctx context.Context, l EventList) (all []IndexedEvent, clock time.Time, err error) {
	q := l.question()
	for ; len(all) <= maxEvents; q.Page++ {
		body, err := json.Marshal(q)
		if err != nil {
			return nil, clock, fmt.Errorf("ask MISP: %w", err)
		}
		data, header, err := c.do(ctx, http.MethodPost, "events/index", body)
		if tooLong(err) && q.Limit > leastPage {
			// Events with long lists of tags and galaxies: continue here in pages of a fifth of the size.
			q.Limit, q.Page = q.Limit/5, (q.Page-1)*5
			continue
		}
		if err != nil {
			return nil, clock, err
		}
		if clock.IsZero() {
			clock = dateOf(header)
		}
		list, err := decodeIndex(ctx, data, q.Limit)
		if err != nil {
			return nil, clock, c.indexTrouble(err, q.Limit)
		}
		all = append(all, list...)
		if len(list) < q.Limit {
			return all, clock, nil
		}
	}
	return nil, clock, c.trouble(enrich.CodeBadAnswer, fmt.Sprintf("has more than %d events", maxEvents), remedyDropped, nil)
}

// dateOf returns the server's clock; zero if it does not say.
func dateOf(header http.Header) time.Time {
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return date
}

// tooLong reports whether an answer was longer than any may be, so that a shorter page helps.
func tooLong(err error) bool {
	bad, ok := errors.AsType[badAnswer](err)
	return ok && bad.permanent
}

// decodeIndex reads a page of the list of events, which is valid JSON.
func decodeIndex(ctx context.Context, data []byte, limit int) (list []IndexedEvent, err error) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 || data[0] != '[' { // null would be taken for no events at all
		return nil, errNoIndex
	}
	if jsonscan.Longer(data, limit) {
		return nil, errLongIndex
	}
	for element := range jsonscan.Elements(data) {
		var w wireEvent
		if err := read(ctx, element, w.set); err != nil {
			return nil, err
		}
		e := IndexedEvent{ID: text(w.id), UUID: text(w.uuid), Published: flag(w.published), Timestamp: text(w.timestamp), Attributes: -1}
		if n, err := strconv.Atoi(text(w.count)); err == nil {
			e.Attributes = max(0, n)
		}
		if e.UUID == "" || len(e.UUID) > maxName || len(e.ID) > maxName || len(e.Timestamp) > maxName {
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
func (c *Client) indexTrouble(err error, limit int) error {
	const itself = "is misp.url the address of MISP itself?"
	if t := c.readingTrouble(err); t != nil {
		return t
	}
	switch {
	case errors.Is(err, errLongIndex):
		return c.trouble(enrich.CodeBadAnswer, fmt.Sprintf("answered with more than the %d events that were asked for at most", limit), remedyDropped, err)
	case errors.Is(err, errNoUUID):
		return c.trouble(enrich.CodeBadAnswer, "answered with a list of events without UUIDs", itself, err)
	}
	return c.trouble(enrich.CodeBadAnswer, "answered with JSON that is not a list of events", itself, err)
}
