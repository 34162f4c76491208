package api

import (
	"context"
	"errors"
	"strconv"
	"time"

	"custom-misp/misp"
	"custom-misp/misp/internal/jsonscan"
)

// The members of an attribute and of an event, as far as they are needed, as they stand in the document. Of two members
// with one name the last one counts.
type (
	wireAttribute struct {
		id, eventID, uuid, typ, category, value, comment, toIDs, deleted, timestamp, firstSeen, lastSeen []byte

		event, tags, warnings, scores, sightings []byte
	}
	wireEvent struct {
		id, uuid, info, date, threatLevel, analysis, published, timestamp, count, creator, tags []byte

		attributes, objects []byte // of one in a file
	}
)

// set notes a member.
func (w *wireAttribute) set(key, value []byte) {
	switch string(key) {
	case "id":
		w.id = value
	case "event_id":
		w.eventID = value
	case "uuid":
		w.uuid = value
	case "type":
		w.typ = value
	case "category":
		w.category = value
	case "value":
		w.value = value
	case "comment":
		w.comment = value
	case "to_ids":
		w.toIDs = value
	case "deleted":
		w.deleted = value
	case "timestamp":
		w.timestamp = value
	case "first_seen":
		w.firstSeen = value
	case "last_seen":
		w.lastSeen = value
	case "Event":
		w.event = value
	case "Tag":
		w.tags = value
	case "warnings":
		w.warnings = value
	case "Sighting":
		w.sightings = value
	case "decay_score":
		w.scores = value
	}
}

// set notes a member.
func (w *wireEvent) set(key, value []byte) {
	switch string(key) {
	case "id":
		w.id = value
	case "uuid":
		w.uuid = value
	case "info":
		w.info = value
	case "date":
		w.date = value
	case "threat_level_id":
		w.threatLevel = value
	case "analysis":
		w.analysis = value
	case "published":
		w.published = value
	case "timestamp":
		w.timestamp = value
	case "attribute_count":
		w.count = value
	case "Orgc":
		w.creator = value
	case "Tag":
		w.tags = value
	case "Attribute":
		w.attributes = value
	case "Object":
		w.objects = value
	}
}

// read calls set with each member of an object.
func read(ctx context.Context, object []byte, set func(key, value []byte)) error {
	for key, value := range jsonscan.Members(object) {
		if err := ctx.Err(); err != nil {
			return err
		}
		set(key, value)
	}
	return nil
}

var (
	errNoResult    = errors.New("no list response.Attribute in it")
	errNoAttribute = errors.New("something without a type among its attributes")
	errOverLimit   = errors.New("more attributes than were asked for at most")
)

// decodeAnswer calls do with each attribute of an answer, which is valid JSON; live says whether it is not deleted. It
// returns how many there are, at most a page of them. A miss is an empty list. An answer without that list, with
// something else in it than attributes, or with more than a page of them, is not an answer to our search, and an error.
// A field of an unexpected kind within an attribute counts as absent. Errors are those too of the context and of do.
func decodeAnswer(ctx context.Context, data []byte, do func(a misp.Attribute, live bool) error) (n int, err error) {
	list := data
	for _, key := range []string{"response", "Attribute"} { // each takes a tenth of a second for the longest answers
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		list = jsonscan.Member(list, key)
	}
	if len(list) == 0 || list[0] != '[' {
		return 0, errNoResult
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if jsonscan.Longer(list, pageSize) {
		return 0, errOverLimit
	}
	var d decoder
	for element := range jsonscan.Elements(list) {
		var w wireAttribute
		if err := read(ctx, element, w.set); err != nil {
			return 0, err
		}
		if text(w.typ) == "" {
			return 0, errNoAttribute
		}
		e, err := d.eventOf(ctx, w)
		if err != nil {
			return 0, err
		}
		a, err := w.attribute(ctx, e)
		if err != nil {
			return 0, err
		}
		if err := do(a, !flag(w.deleted)); err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

// A decoder remembers the last event: many attributes of a page are in the same.
type decoder struct {
	json  []byte
	event misp.Event
}

// eventOf returns the event that an attribute of an answer is in.
func (d *decoder) eventOf(ctx context.Context, w wireAttribute) (misp.Event, error) {
	if d.json == nil || string(d.json) != string(w.event) {
		var in wireEvent
		if err := read(ctx, w.event, in.set); err != nil {
			return misp.Event{}, err
		}
		e, err := in.decode(ctx)
		if err != nil {
			return misp.Event{}, err
		}
		d.json, d.event = w.event, e
	}
	e := d.event
	if e.ID == "" {
		e.ID = text(w.eventID)
	}
	return e, nil
}

// decode returns the event.
func (w wireEvent) decode(ctx context.Context) (misp.Event, error) {
	e := misp.Event{
		ID: text(w.id), UUID: text(w.uuid), Info: text(w.info), Date: text(w.date),
		Org: text(jsonscan.Member(w.creator, "name")), OrgUUID: text(jsonscan.Member(w.creator, "uuid")),
		ThreatLevel: misp.ThreatLevel(number(text(w.threatLevel))), Published: flag(w.published),
	}
	if analysis := text(w.analysis); analysis != "" {
		e.Analysis = misp.Analysis(number(analysis) + 1)
	}
	var err error
	e.Tags, _, err = tags(ctx, w.tags)
	return e, err
}

// attribute brings an attribute of an event into the form that the pipeline works on.
func (w wireAttribute) attribute(ctx context.Context, e misp.Event) (misp.Attribute, error) {
	a := misp.Attribute{
		ID: text(w.id), UUID: text(w.uuid), Type: text(w.typ), Category: text(w.category),
		Value: text(w.value), Comment: text(w.comment), ToIDs: flag(w.toIDs),
		Timestamp: epoch(text(w.timestamp)), FirstSeen: text(w.firstSeen), LastSeen: text(w.lastSeen), Event: e,
	}
	own, inherited, err := tags(ctx, w.tags)
	if err != nil {
		return a, err
	}
	a.Event.Tags = misp.JoinTags(inherited, e.Tags)
	a.Tags = misp.JoinTags(own, a.Event.Tags)
	if a.DecayScore, err = bestScore(ctx, w.scores); err != nil {
		return a, err
	}
	if a.Expires, err = expiration(ctx, w.sightings); err != nil {
		return a, err
	}
	a.Warninglists, err = warninglists(ctx, w.warnings)
	return a, err
}

// expiration returns the earliest date of the sightings of a list that are expirations; zero if there is none.
func expiration(ctx context.Context, list []byte) (earliest time.Time, err error) {
	for sighting := range jsonscan.Elements(list) {
		if err := ctx.Err(); err != nil {
			return time.Time{}, err
		}
		var kind, date string
		for key, value := range jsonscan.Members(sighting) {
			switch string(key) {
			case "type":
				kind = text(value)
			case "date_sighting":
				date = text(value)
			}
		}
		if at := epoch(date); kind == expirationSighting && !at.IsZero() && (earliest.IsZero() || at.Before(earliest)) {
			earliest = at
		}
	}
	return earliest, nil
}

// expirationSighting is MISP's number of the sightings that say when an attribute ends.
const expirationSighting = "2"

// tags returns the names in a list of tags, and those of them that are from the event.
func tags(ctx context.Context, list []byte) (all, inherited []string, err error) {
	var of, fromEvent misp.TagList
	for tag := range jsonscan.Elements(list) {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		var name string
		from := false
		for key, value := range jsonscan.Members(tag) {
			switch string(key) {
			case "name":
				name = text(value)
			case "inherited":
				from = flag(value)
			}
		}
		of.Add(name)
		if from {
			fromEvent.Add(name)
		}
	}
	return of.Tags(), fromEvent.Tags(), nil
}

// bestScore returns the highest score of a list; nil if there is none.
func bestScore(ctx context.Context, list []byte) (best *float64, err error) {
	for model := range jsonscan.Elements(list) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if score, err := strconv.ParseFloat(text(jsonscan.Member(model, "score")), 64); err == nil && (best == nil || score > *best) {
			best = &score
		}
	}
	return best, nil
}

// warninglists returns the names of warninglists, each once.
func warninglists(ctx context.Context, list []byte) (names []string, err error) {
	var seen map[string]bool
	for hit := range jsonscan.Elements(list) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		name := text(jsonscan.Member(hit, "warninglist_name"))
		if name == "" || seen[name] {
			continue
		}
		if seen == nil {
			seen = map[string]bool{}
		}
		seen[name] = true
		if names = append(names, name); len(names) == misp.MaxWarninglists {
			break
		}
	}
	return names, nil
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > 1000 {
		return 0
	}
	return n
}

// epoch reads a time in seconds since 1970; zero if it is not one.
func epoch(s string) time.Time {
	seconds, err := strconv.ParseInt(s, 10, 64)
	if err != nil || seconds <= 0 || seconds > 1<<40 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}
