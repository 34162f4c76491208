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
	id     int
	number int            // of a generated one
	fields map[string]any // as answered, with what is answered only when asked for; nil for a generated one that was not changed
	event  *event
	object map[string]any // nil for an attribute of no object
	own    []map[string]any

	// What filters look at most, taken from fields by settle.
	halves         []string // folded, for comparison
	timestamp      int64
	toIDs, deleted bool
	hidden         bool // not visible to the user of the key any more
}

// event is one as the server keeps it.
type event struct {
	fields map[string]any // all but its tags
	tags   []map[string]any
	count  int // attribute_count as MISP has it, which may be wrong: see Server.DeleteObject

	// Taken from fields by settle.
	timestamp, publishTimestamp int64
	published                   bool

	hidden bool // not visible to the user of the key any more
}

// ids are those of one more attribute, event and made up uuid.
type ids struct{ attribute, event, object, uuid int }

// load adds an event, and gives out ids as a server does.
func (s *Server) load(fields map[string]any) {
	full := withDefaults(fields, map[string]any{
		"date": "", "threat_level_id": "4", "info": "", "published": false, "uuid": "", "analysis": "0", "timestamp": "0",
		"publish_timestamp": "0", "distribution": "1", "sharing_group_id": "0", "extends_uuid": "",
	})
	s.last.event++
	full["id"], full["org_id"], full["orgc_id"] = strconv.Itoa(s.last.event), "1", "1"
	org, _ := fields["Orgc"].(map[string]any)
	full["Orgc"] = withDefaults(org, map[string]any{"id": "1", "name": "", "uuid": "", "local": true})
	e := &event{fields: full, tags: items(fields["Tag"])}
	e.settle()
	s.events = append(s.events, e)
	for _, a := range items(fields["Attribute"]) {
		s.add(a, e, nil)
	}
	for _, o := range items(fields["Object"]) {
		s.last.object++
		object := map[string]any{"id": strconv.Itoa(s.last.object), "distribution": "5", "sharing_group_id": "0"}
		for _, a := range items(o["Attribute"]) {
			if on(o["deleted"]) {
				a["deleted"] = true
			}
			s.add(a, e, object)
		}
	}
}

var attributeDefaults = map[string]any{
	"object_relation": nil, "category": "", "type": "", "to_ids": false, "uuid": "", "timestamp": "0", "distribution": "5",
	"sharing_group_id": "0", "comment": "", "deleted": false, "disable_correlation": false, "first_seen": nil,
	"last_seen": nil, "value": "", "warnings": nil, "decay_score": nil,
}

func (s *Server) add(fields map[string]any, e *event, object map[string]any) {
	s.last.attribute++
	a := &attribute{
		id: s.last.attribute, fields: withDefaults(fields, attributeDefaults), event: e, object: object,
		own: items(fields["Tag"]),
	}
	a.fields["id"], a.fields["event_id"], a.fields["object_id"] = strconv.Itoa(a.id), e.fields["id"], "0"
	if object != nil {
		a.fields["object_id"] = object["id"]
	}
	a.settle()
	s.attributes = append(s.attributes, a)
	if !a.deleted {
		e.counted(1)
	}
}

// counted moves the counter of an event, which never gets below 0.
func (e *event) counted(by int) { e.count = max(0, e.count+by) }

// settle takes out of the fields what is looked at most; it follows each change of them.
func (a *attribute) settle() {
	a.halves = halves(textOf(a.fields["type"]), textOf(a.fields["value"]))
	a.timestamp = seconds(a.fields["timestamp"])
	a.toIDs, a.deleted = on(a.fields["to_ids"]), on(a.fields["deleted"])
}

func (e *event) settle() {
	e.timestamp, e.publishTimestamp = seconds(e.fields["timestamp"]), seconds(e.fields["publish_timestamp"])
	e.published = on(e.fields["published"])
}

// known returns all fields of an attribute; those of a generated one are made for each call.
func (a *attribute) known() map[string]any {
	if a.fields == nil {
		return a.generated()
	}
	return a.fields
}

// set changes fields of an attribute.
func (a *attribute) set(fields map[string]any) {
	a.fields = a.known()
	maps.Copy(a.fields, fields)
	a.settle()
}

func (a *attribute) uuid() string {
	if a.fields == nil {
		return GeneratedUUID(a.number)
	}
	return textOf(a.fields["uuid"])
}

// compared returns the halves of an attribute that a value is compared with.
func (a *attribute) compared() []string {
	if a.fields == nil {
		return halves(Generated(a.number))
	}
	return a.halves
}

func (a *attribute) warned() bool { return a.fields["warnings"] != nil }

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

func (e *event) org() map[string]any {
	org, _ := e.fields["Orgc"].(map[string]any)
	return org
}

func (a *attribute) tagNames() []string {
	var names []string
	for _, t := range slices.Concat(a.own, a.event.tags) {
		names = append(names, textOf(t["name"]))
	}
	return names
}

// render returns an attribute as a question wants it; Tag, warnings and decay_score are only there if there are
// any.
func (a *attribute) render(q map[string]any) map[string]any {
	out := maps.Clone(a.known())
	if !on(q["includeWarninglistHits"]) || out["warnings"] == nil {
		delete(out, "warnings")
	}
	if !on(q["includeDecayScore"]) || out["decay_score"] == nil {
		delete(out, "decay_score")
	}
	out["Event"] = a.event.render(q)
	if a.object != nil {
		out["Object"] = a.object
	}
	if tags := a.renderTags(inherits(q)); len(tags) > 0 {
		out["Tag"] = tags
	}
	return out
}

// inherits reports whether a question wants the tags of the event too. Decay scores bring them along.
func inherits(q map[string]any) bool { return on(q["includeEventTags"]) || on(q["includeDecayScore"]) }

// render returns an event as its attributes show it. Without includeContext, it says neither whether it is
// published nor whose it is.
func (e *event) render(q map[string]any) map[string]any {
	if !on(q["includeContext"]) {
		out := map[string]any{}
		for _, k := range []string{"org_id", "distribution", "publish_timestamp", "id", "info", "orgc_id", "uuid"} {
			out[k] = e.fields[k]
		}
		return out
	}
	out := maps.Clone(e.fields)
	tags := []map[string]any{}
	for _, t := range e.tags {
		tag := renderTag(t)
		tag["local"] = on(t["local"])
		tags = append(tags, tag)
	}
	out["Tag"] = tags
	return out
}

// renderTags returns the tags of an attribute, and those of its event if they are wanted: marked as inherited, and
// without what the others say of themselves.
func (a *attribute) renderTags(inherited bool) []map[string]any {
	var tags []map[string]any
	for _, t := range a.own {
		tag := renderTag(t)
		tag["is_galaxy"], tag["local"] = strings.HasPrefix(textOf(t["name"]), "misp-galaxy:"), on(t["local"])
		tags = append(tags, tag)
	}
	if inherited {
		for _, t := range a.event.tags {
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
