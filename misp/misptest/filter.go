package misptest

import "time"

// A filter judges an attribute by one thing that a question asks for.
type filter func(*attribute) bool

// filtersOf returns the filters of a question, and whether it filters by time. Filters that let everything through
// are not among them. Unknown ones are ignored, misspelt ones with them.
func filtersOf(q map[string]any, now time.Time) (filters []filter, timed bool) {
	flag := func(fits func(filter any, flag bool) bool, asked any, has func(*attribute) bool) {
		yes, no := fits(asked, true), fits(asked, false)
		if !yes || !no {
			filters = append(filters, func(a *attribute) bool { return has(a) && yes || !has(a) && no })
		}
	}
	flag(flagFits, q["to_ids"], func(a *attribute) bool { return a.toIDs })
	flag(flagFits, q["published"], func(a *attribute) bool { return a.event.published })
	flag(deletedFits, q["deleted"], func(a *attribute) bool { return a.deleted })

	// A change of an attribute shows under its own time only, and the publication of its event only under the
	// event's: none of them finds all that is new.
	for _, clock := range []struct {
		name string
		at   func(*attribute) int64
	}{
		{"timestamp", func(a *attribute) int64 { return a.timestamp }},
		{"attribute_timestamp", func(a *attribute) int64 { return a.timestamp }},
		{"publish_timestamp", func(a *attribute) int64 { return a.event.publishTimestamp }},
		{"last", func(a *attribute) int64 { return a.event.publishTimestamp }},
		{"event_timestamp", func(a *attribute) int64 { return a.event.timestamp }},
	} {
		if span, asked := spanOf(q[clock.name], now); asked {
			timed = true
			filters = append(filters, func(a *attribute) bool { return span.has(clock.at(a)) })
		}
	}

	word := func(asked any, has func(*attribute) string) {
		if words := texts(asked); len(words) > 0 {
			filters = append(filters, func(a *attribute) bool { return wordFits(words, has(a)) })
		}
	}
	word(q["type"], func(a *attribute) string { return textOf(a.known()["type"]) })
	word(q["category"], func(a *attribute) string { return textOf(a.known()["category"]) })
	word(q["eventid"], func(a *attribute) string { return textOf(a.event.fields["id"]) })
	word(q["threat_level_id"], func(a *attribute) string { return textOf(a.event.fields["threat_level_id"]) })
	word(q["org"], func(a *attribute) string { return textOf(a.event.org()["name"]) })
	if tags := q["tags"]; tags != nil {
		filters = append(filters, func(a *attribute) bool { return tagsFit(tags, a.tagNames()) })
	}
	if want := valuesOf(q["value"]); want != nil {
		filters = append(filters, want.fit)
	}
	return filters, timed
}
