package misptest

import "strings"

// A filter judges an attribute by one thing that a question asks for.
type filter func(*attribute) bool

// filtersOf returns the filters of a question, and whether it filters by time. Filters that let everything through
// are not among them. Unknown ones are ignored, misspelt ones with them.
func (s *Server) filtersOf(q map[string]any) (filters []filter, timed bool) {
	now, in := s.clock(), s.eventsIn(q["eventid"])
	filters = append(filters, func(a *attribute) bool { return !a.hidden && !a.event.hidden })
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
	if words := texts(q["eventid"]); len(words) > 0 {
		filters = append(filters, func(a *attribute) bool { return in[a.event] })
	}
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

// eventsIn returns the events that a filter on events lets through: by their ids or UUIDs, ! for not.
func (s *Server) eventsIn(asked any) map[*event]bool {
	words := texts(asked)
	if len(words) == 0 {
		return nil
	}
	named := make(map[string]bool, len(words))
	all := true // but those that are excluded
	for _, word := range words {
		name, not := strings.CutPrefix(strings.ToLower(word), "!")
		named[name] = !not
		all = all && not
	}
	in := make(map[*event]bool, len(words))
	for _, e := range s.events {
		fits, asked := named[textOf(e.fields["id"])]
		if !asked {
			fits, asked = named[strings.ToLower(textOf(e.fields["uuid"]))]
		}
		in[e] = fits || !asked && all
	}
	return in
}
