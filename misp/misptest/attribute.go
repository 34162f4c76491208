package misptest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// attribute is one as the server keeps it.
type attribute struct {
	fields map[string]any // as answered, with what is answered only when asked for
	event  map[string]any // with all that it has
	object map[string]any // nil for an attribute of no object
	halves []string       // folded, for comparison
	own    []map[string]any
	events []map[string]any // tags of the event
}

// load takes an event over, giving out ids as a server does.
func (s *Server) load(event map[string]any) {
	eventID := "1"
	if n := len(s.attributes); n > 0 {
		last, _ := strconv.Atoi(textOf(s.attributes[n-1].fields["event_id"]))
		eventID = strconv.Itoa(last + 1)
	}
	full := withDefaults(event, map[string]any{
		"date": "", "threat_level_id": "4", "info": "", "published": false, "uuid": "", "analysis": "0", "timestamp": "0",
		"publish_timestamp": "0", "distribution": "1", "sharing_group_id": "0", "extends_uuid": "",
	})
	full["id"], full["org_id"], full["orgc_id"] = eventID, "1", "1"
	org, _ := event["Orgc"].(map[string]any)
	full["Orgc"] = withDefaults(org, map[string]any{"id": "1", "name": "", "uuid": "", "local": true})
	tags := items(event["Tag"])
	for _, fields := range items(event["Attribute"]) {
		s.add(fields, full, nil, tags)
	}
	for i, o := range items(event["Object"]) {
		object := map[string]any{"id": strconv.Itoa(i + 1), "distribution": "5", "sharing_group_id": "0"}
		for _, fields := range items(o["Attribute"]) {
			if on(o["deleted"]) {
				fields["deleted"] = true
			}
			s.add(fields, full, object, tags)
		}
	}
}

func (s *Server) add(fields, event, object map[string]any, eventTags []map[string]any) {
	known := withDefaults(fields, map[string]any{
		"object_relation": nil, "category": "", "type": "", "to_ids": false, "uuid": "", "timestamp": "0", "distribution": "5",
		"sharing_group_id": "0", "comment": "", "deleted": false, "disable_correlation": false, "first_seen": nil,
		"last_seen": nil, "value": "", "warnings": nil, "decay_score": nil,
	})
	known["id"], known["event_id"], known["object_id"] = strconv.Itoa(len(s.attributes)+1), event["id"], "0"
	if object != nil {
		known["object_id"] = object["id"]
	}
	s.attributes = append(s.attributes, attribute{
		fields: known, event: event, object: object, own: items(fields["Tag"]), events: eventTags,
		halves: halves(textOf(known["type"]), textOf(known["value"])),
	})
}

// withDefaults returns what MISP knows of something: the fields of defaults, with the values that it has.
func withDefaults(has, defaults map[string]any) map[string]any {
	out := maps.Clone(defaults)
	for k := range defaults {
		if v, ok := has[k]; ok {
			out[k] = v
		}
	}
	return out
}

func items(list any) []map[string]any {
	var out []map[string]any
	values, _ := list.([]any)
	for _, v := range values {
		if m, ok := v.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// textOf is a text of a feed, empty for null.
func textOf(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

func (a attribute) org() string {
	org, _ := a.event["Orgc"].(map[string]any)
	return textOf(org["name"])
}

func (a attribute) tagNames() []string {
	var names []string
	for _, t := range slices.Concat(a.own, a.events) {
		names = append(names, textOf(t["name"]))
	}
	return names
}

// render returns an attribute as a question wants it. Without includeContext, the event says neither whether it is
// published nor whose it is; Tag, warnings and decay_score are only there if there are any.
func (a attribute) render(q map[string]any) map[string]any {
	out := maps.Clone(a.fields)
	if !on(q["includeWarninglistHits"]) || out["warnings"] == nil {
		delete(out, "warnings")
	}
	if !on(q["includeDecayScore"]) || out["decay_score"] == nil {
		delete(out, "decay_score")
	}
	event := map[string]any{}
	for _, k := range []string{"org_id", "distribution", "publish_timestamp", "id", "info", "orgc_id", "uuid"} {
		event[k] = a.event[k]
	}
	if on(q["includeContext"]) {
		event = maps.Clone(a.event)
		tags := []map[string]any{}
		for _, t := range a.events {
			tag := renderTag(t)
			tag["local"] = false
			tags = append(tags, tag)
		}
		event["Tag"] = tags
	}
	out["Event"] = event
	if a.object != nil {
		out["Object"] = a.object
	}
	// Decay scores bring the tags of the event along.
	if tags := a.renderTags(on(q["includeEventTags"]) || on(q["includeDecayScore"])); len(tags) > 0 {
		out["Tag"] = tags
	}
	return out
}

// renderTags returns the tags of an attribute, and those of its event if they are wanted: marked as inherited, and
// without what the others say of themselves.
func (a attribute) renderTags(inherited bool) []map[string]any {
	var tags []map[string]any
	for _, t := range a.own {
		tag := renderTag(t)
		tag["is_galaxy"], tag["local"] = strings.HasPrefix(textOf(t["name"]), "misp-galaxy:"), false
		tags = append(tags, tag)
	}
	if inherited {
		for _, t := range a.events {
			tag := renderTag(t)
			tag["inherited"] = 1
			tags = append(tags, tag)
		}
	}
	return tags
}

func renderTag(t map[string]any) map[string]any {
	return withDefaults(t, map[string]any{"id": "1", "name": "", "colour": "#3399ff", "numerical_value": nil})
}
