package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"custom-misp/misp"
)

// The shapes of an answer, as far as they are needed. MISP writes ids and numbers as texts, but not everywhere
// and not in every version.
type (
	wireAnswer struct {
		Response *struct {
			Attribute wirePage `json:"Attribute"` // nil if there is no such list
		} `json:"response"`
	}
	wirePage      []wireAttribute
	wireAttribute struct {
		ID        loose         `json:"id"`
		EventID   loose         `json:"event_id"`
		UUID      loose         `json:"uuid"`
		Type      loose         `json:"type"`
		Category  loose         `json:"category"`
		Value     loose         `json:"value"`
		Comment   loose         `json:"comment"`
		ToIDs     looseFlag     `json:"to_ids"`
		Deleted   looseFlag     `json:"deleted"`
		Timestamp loose         `json:"timestamp"`
		FirstSeen loose         `json:"first_seen"`
		LastSeen  loose         `json:"last_seen"`
		Event     wireEvent     `json:"Event"`
		Tag       []wireTag     `json:"Tag"`
		Warnings  []wireWarning `json:"warnings"`
		Decay     []wireDecay   `json:"decay_score"`
	}
	wireEvent struct {
		ID            loose     `json:"id"`
		UUID          loose     `json:"uuid"`
		Info          loose     `json:"info"`
		Date          loose     `json:"date"`
		ThreatLevelID loose     `json:"threat_level_id"`
		Analysis      loose     `json:"analysis"`
		Published     looseFlag `json:"published"`
		Orgc          struct {
			Name loose `json:"name"`
			UUID loose `json:"uuid"`
		} `json:"Orgc"`
		Tag []wireTag `json:"Tag"`
	}
	wireTag struct {
		Name      loose     `json:"name"`
		Inherited looseFlag `json:"inherited"` // from the event
	}
	wireWarning struct {
		Name loose `json:"warninglist_name"`
	}
	wireDecay struct {
		Score loose `json:"score"`
	}
)

// loose is a text that may be written as a number or be null. A list or an object counts as an empty text:
// PHP writes an empty list for many kinds of nothing, and one odd field must not cost a whole answer.
type loose string

// UnmarshalJSON implements json.Unmarshaler.
func (l *loose) UnmarshalJSON(data []byte) error {
	switch {
	case len(data) > 0 && data[0] == '"':
		var s string
		if err := json.Unmarshal(data, &s); err != nil {
			return err
		}
		*l = loose(s)
	case bytes.Equal(data, []byte("null")), len(data) > 0 && (data[0] == '{' || data[0] == '['):
		*l = ""
	default:
		*l = loose(data)
	}
	return nil
}

// looseFlag is a boolean that may be written as 1, "1" or "true", or be null.
type looseFlag bool

// UnmarshalJSON implements json.Unmarshaler.
func (f *looseFlag) UnmarshalJSON(data []byte) error {
	var l loose
	if err := l.UnmarshalJSON(data); err != nil {
		return err
	}
	*f = looseFlag(l == "1" || strings.EqualFold(string(l), "true"))
	return nil
}

// decodeAnswer returns the attributes of an answer, at most a page of them. A miss is an empty list. An answer
// without that list, with something else in it than attributes, or with more than a page of them, is not an answer to
// our search, and an error. A field of an unexpected kind within an attribute counts as absent.
func decodeAnswer(data []byte) ([]wireAttribute, error) {
	var a wireAnswer
	if err := unmarshal(data, &a); err != nil {
		return nil, err
	}
	if a.Response == nil || a.Response.Attribute == nil {
		return nil, errNoResult
	}
	for _, w := range a.Response.Attribute {
		if w.Type == "" {
			return nil, errNoAttribute
		}
	}
	return a.Response.Attribute, nil
}

// UnmarshalJSON implements json.Unmarshaler. It refuses more than a page before it makes attributes of it: they
// take much more memory than the answer itself.
func (p *wirePage) UnmarshalJSON(data []byte) error {
	n := 0
	gjson.ParseBytes(data).ForEach(func(_, _ gjson.Result) bool {
		n++
		return n <= pageSize
	})
	if n > pageSize {
		return errOverLimit
	}
	return unmarshal(data, (*[]wireAttribute)(p))
}

// unmarshal reads JSON leniently: it continues after a value of the wrong kind, and leaves that out.
func unmarshal(data []byte, to any) error {
	err := json.Unmarshal(data, to)
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return nil
	}
	return err
}

var (
	errNoResult    = errors.New("no list response.Attribute in it")
	errNoAttribute = errors.New("something without a type among its attributes")
	errOverLimit   = errors.New("more attributes than were asked for at most")
)

// attribute brings what came over the wire into the form that the pipeline works on.
func (w wireAttribute) attribute() misp.Attribute {
	a := misp.Attribute{
		ID: string(w.ID), UUID: string(w.UUID), Type: string(w.Type), Category: string(w.Category),
		Value: string(w.Value), Comment: string(w.Comment), ToIDs: bool(w.ToIDs),
		Timestamp: epoch(w.Timestamp), FirstSeen: string(w.FirstSeen), LastSeen: string(w.LastSeen),
		Event: misp.Event{
			ID: string(w.Event.ID), UUID: string(w.Event.UUID), Info: string(w.Event.Info), Org: string(w.Event.Orgc.Name),
			OrgUUID:     string(w.Event.Orgc.UUID),
			ThreatLevel: misp.ThreatLevel(number(w.Event.ThreatLevelID)),
			Date:        string(w.Event.Date), Published: bool(w.Event.Published),
		},
	}
	if w.Event.Analysis != "" {
		a.Event.Analysis = misp.Analysis(number(w.Event.Analysis) + 1)
	}
	if a.Event.ID == "" {
		a.Event.ID = string(w.EventID)
	}
	for _, t := range w.Tag {
		a.Tags = appendNew(a.Tags, string(t.Name))
		if t.Inherited {
			a.Event.Tags = appendNew(a.Event.Tags, string(t.Name))
		}
	}
	for _, t := range w.Event.Tag {
		a.Tags = appendNew(a.Tags, string(t.Name))
		a.Event.Tags = appendNew(a.Event.Tags, string(t.Name))
	}
	for _, d := range w.Decay {
		if score, err := strconv.ParseFloat(string(d.Score), 64); err == nil && (a.DecayScore == nil || score > *a.DecayScore) {
			a.DecayScore = &score
		}
	}
	for _, l := range w.Warnings {
		a.Warninglists = appendNew(a.Warninglists, string(l.Name))
	}
	return a
}

func appendNew(names []string, name string) []string {
	if name == "" || slices.Contains(names, name) {
		return names
	}
	return append(names, name)
}

func number(l loose) int {
	n, err := strconv.Atoi(string(l))
	if err != nil || n < 0 || n > 1000 {
		return 0
	}
	return n
}

// epoch reads a time in seconds since 1970; zero if it is not one.
func epoch(l loose) time.Time {
	seconds, err := strconv.ParseInt(string(l), 10, 64)
	if err != nil || seconds <= 0 || seconds > 1<<40 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

// DecodeEvent reads an event as MISP exports it and as feeds hold it, {"Event": {…}}, and returns its live
// attributes, those of its objects among them. Each carries what it needs of the event, the event's tags too. An
// event without an id is known by its UUID, and one that does not say otherwise counts as published.
func DecodeEvent(data []byte) ([]misp.Attribute, error) {
	var file struct {
		Event *struct {
			wireEvent
			Published *looseFlag      `json:"published"`
			Attribute []wireAttribute `json:"Attribute"`
			Object    []struct {
				Deleted   looseFlag       `json:"deleted"`
				Attribute []wireAttribute `json:"Attribute"`
			} `json:"Object"`
		} `json:"Event"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return nil, fmt.Errorf("%s must not be of the kind %s", strings.TrimPrefix(wrong.Field, "."), wrong.Value)
		}
		return nil, err
	}
	if file.Event == nil {
		return nil, errors.New("no object Event in it")
	}
	event := file.Event.wireEvent
	event.Published = file.Event.Published == nil || *file.Event.Published
	if event.ID == "" {
		event.ID = event.UUID
	}
	wire := file.Event.Attribute
	for _, o := range file.Event.Object {
		if !o.Deleted {
			wire = append(wire, o.Attribute...)
		}
	}
	attributes := make([]misp.Attribute, 0, len(wire))
	for _, w := range wire {
		if w.Deleted {
			continue
		}
		w.Event = event
		attributes = append(attributes, w.attribute())
	}
	return attributes, nil
}
