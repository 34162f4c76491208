package misptest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// This file is what other users of a MISP do to it. Each change moves the clocks that it was seen to move in a real
// one, to the server's own time:
//
//   - whatever changes an attribute moves its timestamp and that of its event, and makes the event a draft at once;
//   - whatever changes an event alone moves that of the event, and makes it a draft;
//   - publishing moves publish_timestamp and nothing else, making a draft of an event moves nothing;
//   - an attribute that is gone for good moves the timestamp of its event, and leaves no other trace; an object or an
//     event leaves none.
//
// Events and attributes are given in JSON, in the shape of a feed, and named by their uuid. One that does not exist
// fails the test, as does a field that no user can set.

// AddEvent adds an event that was made on this server: a draft, never published, in which everything is as old as
// the server's clock says, whatever it says itself. It returns the event's uuid, which is made up if it has none;
// so are those of its attributes.
func (s *Server) AddEvent(event string) string {
	s.t.Helper()
	return s.adopt(event, func(fields map[string]any) {
		fields["published"], fields["publish_timestamp"], fields["timestamp"] = false, "0", s.stamp()
		for _, a := range attributesIn(fields) {
			a["timestamp"] = s.stamp()
		}
	})
}

// PushEvent adds an event that came by a sync push or an import: published or not and as old as it says itself, in all
// its clocks.
func (s *Server) PushEvent(event string) string {
	s.t.Helper()
	return s.adopt(event, func(map[string]any) {})
}

// PullEvent adds an event that this server took over from another: published or not and as old as it says itself,
// with all its attributes. Only publish_timestamp is of this server's clock. It returns the event's uuid.
func (s *Server) PullEvent(event string) string {
	s.t.Helper()
	return s.adopt(event, func(fields map[string]any) { fields["publish_timestamp"] = s.stamp() })
}

// AddAttribute adds an attribute to an event, and returns its uuid, which is made up if it has none.
func (s *Server) AddAttribute(eventUUID, fields string) string {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.eventOf(eventUUID)
	known := s.read(fields, "timestamp", "deleted")
	if e == nil || known == nil || !s.name(known) {
		return ""
	}
	known["timestamp"] = s.stamp()
	s.add(known, e, nil)
	e.touch(s.stamp())
	return textOf(known["uuid"])
}

// AddOldAttribute adds an attribute that says itself how old it is: the timestamp of its event moves, and its own does
// not. It returns the attribute's uuid, which is made up if it has none.
func (s *Server) AddOldAttribute(eventUUID, fields string, timestamp int64) string {
	s.t.Helper()
	uuid := s.AddAttribute(eventUUID, fields)
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.attributeOf(uuid); a != nil {
		a.set(map[string]any{"timestamp": strconv.FormatInt(timestamp, 10)})
	}
	return uuid
}

// EditAttribute changes fields of an attribute, like to_ids, value or comment.
func (s *Server) EditAttribute(uuid, fields string) {
	s.t.Helper()
	s.change(uuid, func(a *attribute) { a.set(s.read(fields, "timestamp", "deleted", "uuid", "Tag")) })
}

// TagAttribute adds a tag to an attribute, which moves the attribute's timestamp as an edit does.
func (s *Server) TagAttribute(uuid, tag string) {
	s.t.Helper()
	s.change(uuid, func(a *attribute) { a.own = append(a.own, map[string]any{"name": tag}) })
}

// SoftDelete marks an attribute as deleted. It stays, for those who ask for deleted ones too.
func (s *Server) SoftDelete(uuid string) {
	s.t.Helper()
	s.change(uuid, func(a *attribute) { a.delete(true) })
}

// Restore takes a soft deletion back.
func (s *Server) Restore(uuid string) {
	s.t.Helper()
	s.change(uuid, func(a *attribute) { a.delete(false) })
}

// delete marks an attribute as deleted or not, and counts.
func (a *attribute) delete(deleted bool) {
	switch {
	case deleted && !a.deleted:
		a.event.counted(-1)
	case !deleted && a.deleted:
		a.event.counted(1)
	}
	a.set(map[string]any{"deleted": deleted})
}

// HardDelete removes an attribute for good. No search of a real MISP shows it, but the timestamp of its event moves.
func (s *Server) HardDelete(uuid string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if gone := s.attributeOf(uuid); gone != nil {
		if !gone.deleted {
			gone.event.counted(-1)
		}
		s.attributes = slices.DeleteFunc(s.attributes, func(a *attribute) bool { return a == gone })
		gone.event.touch(s.stamp())
	}
}

// TagEvent adds a tag to an event. The timestamps of its attributes stay.
func (s *Server) TagEvent(eventUUID, tag string) {
	s.t.Helper()
	s.changeEvent(eventUUID, func(e *event) {
		e.tags = append(e.tags, map[string]any{"name": tag})
		e.touch(s.stamp())
	})
}

// UntagEvent removes a tag from an event. The timestamps of its attributes stay.
func (s *Server) UntagEvent(eventUUID, tag string) {
	s.t.Helper()
	s.changeEvent(eventUUID, func(e *event) {
		e.tags = without(e.tags, tag)
		e.touch(s.stamp())
	})
}

func without(tags []map[string]any, tag string) []map[string]any {
	return slices.DeleteFunc(slices.Clone(tags), func(t map[string]any) bool { return t["name"] == tag })
}

// UntagAttribute removes a tag from an attribute, which moves the attribute's timestamp as an edit does.
func (s *Server) UntagAttribute(uuid, tag string) {
	s.t.Helper()
	s.change(uuid, func(a *attribute) { a.fields, a.own = a.known(), without(a.own, tag) })
}

// EditEvent changes fields of an event, like info, threat_level_id, analysis, date or distribution.
func (s *Server) EditEvent(eventUUID string, fields map[string]any) {
	s.t.Helper()
	s.changeEvent(eventUUID, func(e *event) {
		maps.Copy(e.fields, fields)
		e.touch(s.stamp())
	})
}

// TagEventLocally adds a local tag to an event, or to an attribute. No clock moves.
func (s *Server) TagEventLocally(eventUUID, tag string) {
	s.t.Helper()
	s.changeEvent(eventUUID, func(e *event) { e.tags = append(e.tags, map[string]any{"name": tag, "local": true}) })
}

// TagAttributeLocally adds a local tag to an attribute. No clock moves.
func (s *Server) TagAttributeLocally(uuid, tag string) {
	s.t.Helper()
	s.withAttribute(uuid, func(a *attribute) {
		a.set(nil)
		a.own = append(a.own, map[string]any{"name": tag, "local": true})
	})
}

// DeleteTag removes a tag from all that has it. No clock moves.
func (s *Server) DeleteTag(tag string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		e.tags = without(e.tags, tag)
	}
	for _, a := range s.attributes {
		a.own = without(a.own, tag)
	}
}

// Warn puts the value of an attribute on a warninglist that is enabled. No clock moves.
func (s *Server) Warn(uuid, list string) {
	s.t.Helper()
	s.withAttribute(uuid, func(a *attribute) {
		a.set(map[string]any{"warnings": []any{map[string]any{"warninglist_name": list}}})
	})
}

// objectOf returns the attributes of the object that an attribute is in. The caller holds mu.
func (s *Server) objectOf(uuid string) (e *event, all []*attribute) {
	s.t.Helper()
	one := s.attributeOf(uuid)
	if one == nil || one.object == nil {
		s.t.Errorf("no object with attribute %s", uuid)
		return nil, nil
	}
	for _, a := range s.attributes {
		if a.object != nil && a.object["id"] == one.object["id"] {
			all = append(all, a)
		}
	}
	return one.event, all
}

// DeleteObject deletes the object that an attribute is in, softly, with its attributes. A real MISP counts each of them
// down twice, so that an event with other attributes may have a counter of 0.
func (s *Server) DeleteObject(uuid string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	e, all := s.objectOf(uuid)
	for _, a := range all {
		a.delete(true)
		e.counted(-1)
		a.set(map[string]any{"timestamp": s.stamp()})
		e.touch(s.stamp())
	}
}

// HardDeleteObject removes an object for good. No clock moves.
func (s *Server) HardDeleteObject(uuid string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	e, all := s.objectOf(uuid)
	for range all {
		e.counted(-1)
	}
	s.attributes = slices.DeleteFunc(s.attributes, func(a *attribute) bool { return slices.Contains(all, a) })
}

// Merge copies the attributes of one event into another, with new uuids. No clock moves, and they keep their times.
func (s *Server) Merge(from, into string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	source, target := s.eventOf(from), s.eventOf(into)
	if source == nil || target == nil {
		return
	}
	for _, a := range slices.Clone(s.attributes) {
		if a.event != source || a.deleted {
			continue
		}
		copied := maps.Clone(a.known())
		copied["uuid"] = ""
		s.name(copied)
		s.add(copied, target, nil)
	}
}

// HideAttribute narrows the distribution of an attribute of another organisation, so that the user of the key does not
// see it any more. The timestamp of its event moves.
func (s *Server) HideAttribute(uuid string) {
	s.t.Helper()
	s.change(uuid, func(a *attribute) { a.hidden = true })
}

// HideEvent narrows the distribution of an event of another organisation, or shows it again. Its timestamp moves.
func (s *Server) HideEvent(eventUUID string, hidden bool) {
	s.t.Helper()
	s.changeEvent(eventUUID, func(e *event) {
		e.hidden = hidden
		e.touch(s.stamp())
	})
}

// ShareEvent hides an event from the user of the key, or shows it, as when his organisation leaves a sharing group or
// joins it. No clock moves.
func (s *Server) ShareEvent(eventUUID string, hidden bool) {
	s.t.Helper()
	s.changeEvent(eventUUID, func(e *event) { e.hidden = hidden })
}

// EditByPush has another server push an edited event: its timestamp is the other server's, and so are those of its
// attributes.
func (s *Server) EditByPush(eventUUID string, timestamp int64, change func(attributes func(uuid, fields string))) {
	s.t.Helper()
	stamp := strconv.FormatInt(timestamp, 10)
	change(func(uuid, fields string) {
		s.t.Helper()
		known := s.read(fields, "deleted", "uuid", "Tag")
		s.withAttribute(uuid, func(a *attribute) {
			a.set(known)
			a.set(map[string]any{"timestamp": stamp})
		})
	})
	s.changeEvent(eventUUID, func(e *event) { e.fields["timestamp"] = stamp })
}

// Publish publishes an event, or does so again.
func (s *Server) Publish(eventUUID string) {
	s.t.Helper()
	s.changeEvent(eventUUID, func(e *event) {
		e.fields["published"], e.fields["publish_timestamp"] = true, s.stamp()
	})
}

// Unpublish makes an event a draft. No clock moves.
func (s *Server) Unpublish(eventUUID string) {
	s.t.Helper()
	s.changeEvent(eventUUID, func(e *event) { e.fields["published"] = false })
}

// DeleteEvent removes an event, with its attributes. Nothing else shows it. It looks the same if the user of the key
// may no longer see the event.
func (s *Server) DeleteEvent(eventUUID string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if gone := s.eventOf(eventUUID); gone != nil {
		s.events = slices.DeleteFunc(s.events, func(e *event) bool { return e == gone })
		s.attributes = slices.DeleteFunc(s.attributes, func(a *attribute) bool { return a.event == gone })
	}
}

// touch is what any edit does to an event.
func (e *event) touch(stamp string) {
	e.fields["timestamp"], e.fields["published"] = stamp, false
	e.settle()
}

func (s *Server) change(uuid string, change func(*attribute)) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.attributeOf(uuid); a != nil {
		change(a)
		a.set(map[string]any{"timestamp": s.stamp()})
		a.event.touch(s.stamp())
	}
}

// withAttribute changes an attribute without moving a clock.
func (s *Server) withAttribute(uuid string, change func(*attribute)) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.attributeOf(uuid); a != nil {
		change(a)
	}
}

func (s *Server) changeEvent(uuid string, change func(*event)) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.eventOf(uuid); e != nil {
		change(e)
		e.settle()
	}
}

// adopt adds an event, with what prepare makes of its fields.
func (s *Server) adopt(event string, prepare func(fields map[string]any)) string {
	s.t.Helper()
	var fields map[string]any
	if err := json.Unmarshal([]byte(event), &fields); err != nil {
		s.t.Errorf("event %s: %v", event, err)
		return ""
	}
	if inner, ok := fields["Event"].(map[string]any); ok {
		fields = inner
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, named := range append(attributesIn(fields), fields) {
		if !s.name(named) {
			return ""
		}
	}
	prepare(fields)
	s.load(fields)
	return textOf(fields["uuid"])
}

func attributesIn(event map[string]any) []map[string]any {
	all := items(event["Attribute"])
	for _, o := range items(event["Object"]) {
		all = append(all, items(o["Attribute"])...)
	}
	return all
}

// read reads the fields of an attribute; nil, and a failed test, if one is unknown or of the wrong ones.
func (s *Server) read(text string, wrong ...string) map[string]any {
	s.t.Helper()
	var fields map[string]any
	if err := json.Unmarshal([]byte(text), &fields); err != nil {
		s.t.Errorf("attribute %s: %v", text, err)
		return nil
	}
	for k := range fields {
		_, known := attributeDefaults[k]
		if !known && k != "Tag" || slices.Contains(wrong, k) {
			s.t.Errorf("attribute %s: %s can't be set", text, k)
			return nil
		}
	}
	return fields
}

// name makes a uuid up for an attribute or event that has none. A uuid that is in use fails the test.
func (s *Server) name(fields map[string]any) bool {
	s.t.Helper()
	uuid := textOf(fields["uuid"])
	if uuid == "" {
		s.last.uuid++
		fields["uuid"] = fmt.Sprintf("00000000-0000-4000-a000-%012x", s.last.uuid)
		return true
	}
	if s.attributeWith(uuid) != nil || s.eventWith(uuid) != nil {
		s.t.Errorf("uuid %s is in use", uuid)
		return false
	}
	return true
}

// attributeOf returns the attribute with a uuid; nil, and a failed test, if there is none. The caller holds mu.
func (s *Server) attributeOf(uuid string) *attribute {
	s.t.Helper()
	a := s.attributeWith(uuid)
	if a == nil {
		s.t.Errorf("no attribute %s", uuid)
	}
	return a
}

func (s *Server) attributeWith(uuid string) *attribute {
	if number := generatedNumber(uuid); number >= 0 { // there may be many
		at, ok := slices.BinarySearchFunc(s.attributes, number+1, func(a *attribute, id int) int { return cmp.Compare(a.id, id) })
		if ok && s.attributes[at].uuid() == uuid {
			return s.attributes[at]
		}
	}
	for _, a := range s.attributes {
		if a.fields != nil && a.fields["uuid"] == uuid {
			return a
		}
	}
	return nil
}

func (s *Server) eventOf(uuid string) *event {
	s.t.Helper()
	e := s.eventWith(uuid)
	if e == nil {
		s.t.Errorf("no event %s", uuid)
	}
	return e
}

func (s *Server) eventWith(uuid string) *event {
	for _, e := range s.events {
		if e.fields["uuid"] == uuid {
			return e
		}
	}
	return nil
}
