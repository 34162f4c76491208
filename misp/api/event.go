package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	"custom-misp/misp"
	"custom-misp/misp/internal/jsonscan"
)

// DecodeEvent reads an event as MISP exports it and as feeds hold it, {"Event": {…}}. It returns the event, and a
// sequence of its live attributes, those of its objects among them, which are decoded one by one: data must not change
// until then. Each carries what it needs of the event, the event's tags too. The sequence ends early when the context
// is done. An event without an id is known by its UUID, and one that does not say otherwise counts as published.
func DecodeEvent(ctx context.Context, data []byte) (misp.Event, iter.Seq[misp.Attribute], error) {
	w, err := readEvent(ctx, data)
	if err != nil {
		return misp.Event{}, nil, err
	}
	e, err := w.decode(ctx)
	if err != nil {
		return misp.Event{}, nil, err
	}
	e.Published = e.Published || len(w.published) == 0 || w.published[0] == 'n'
	if e.ID == "" {
		e.ID = e.UUID
	}
	return e, func(yield func(misp.Attribute) bool) {
		if !eachLive(ctx, w.attributes, e, yield) {
			return
		}
		for object := range jsonscan.Elements(w.objects) {
			o, err := readObject(ctx, object)
			if err != nil || !o.deleted && !eachLive(ctx, o.attributes, e, yield) {
				return
			}
		}
	}, nil
}

// eachLive yields the attributes of a list that are not deleted. It returns false if it was stopped.
func eachLive(ctx context.Context, list []byte, in misp.Event, yield func(misp.Attribute) bool) bool {
	for element := range jsonscan.Elements(list) {
		var w wireAttribute
		if read(ctx, element, w.set) != nil {
			return false
		}
		if flag(w.deleted) {
			continue
		}
		a, err := w.attribute(ctx, in)
		if err != nil || !yield(a) {
			return false
		}
	}
	return true
}

// object is an object of an event.
type object struct {
	deleted    bool
	attributes []byte
}

func readObject(ctx context.Context, data []byte) (o object, err error) {
	err = read(ctx, data, o.set)
	return o, err
}

// set notes a member.
func (o *object) set(key, value []byte) {
	switch string(key) {
	case "deleted":
		o.deleted = flag(value)
	case "Attribute":
		o.attributes = value
	}
}

var errNoEvent = errors.New("no object Event in it")

// readEvent finds the parts of an event, and refuses it if it is not one, or too large.
func readEvent(ctx context.Context, data []byte) (w wireEvent, err error) {
	if !json.Valid(data) {
		return w, invalid(data)
	}
	event := jsonscan.Member(data, "Event")
	if len(event) == 0 || event[0] == 'n' {
		return w, errNoEvent
	}
	if err := wants("Event", event, '{'); err != nil {
		return w, err
	}
	if err := read(ctx, event, w.set); err != nil {
		return w, err
	}
	left := maxEventAttributes
	if err := count(ctx, "Event.Attribute", w.attributes, &left, nil); err != nil {
		return w, err
	}
	objects := maxEventAttributes
	return w, count(ctx, "Event.Object", w.objects, &objects, func(data []byte) error {
		o, err := readObject(ctx, data)
		if err != nil {
			return err
		}
		return count(ctx, "Event.Object.Attribute", o.attributes, &left, nil)
	})
}

// invalid says what is wrong with a document that is not valid.
func invalid(data []byte) error {
	var nothing struct{}
	if err := json.Unmarshal(data, &nothing); err != nil {
		return err
	}
	return errors.New("not JSON")
}

// count goes over the objects in a list, and refuses more of them than are left.
func count(ctx context.Context, name string, list []byte, left *int, each func([]byte) error) error {
	if len(list) == 0 || list[0] == 'n' {
		return nil
	}
	if err := wants(name, list, '['); err != nil {
		return err
	}
	for element := range jsonscan.Elements(list) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if *left--; *left < 0 {
			return fmt.Errorf("%s has more than %d entries; split the event", name, maxEventAttributes)
		}
		if element[0] != 'n' {
			if err := wants(name, element, '{'); err != nil {
				return err
			}
		}
		if each != nil {
			if err := each(element); err != nil {
				return err
			}
		}
	}
	return nil
}

// wants returns an error unless a value begins with a character, as values of its kind do.
func wants(name string, value []byte, first byte) error {
	if value[0] == first {
		return nil
	}
	kind := "number"
	switch value[0] {
	case '{':
		kind = "object"
	case '[':
		kind = "array"
	case '"':
		kind = "string"
	case 't', 'f':
		kind = "bool"
	}
	return fmt.Errorf("%s must not be of the kind %s", name, kind)
}
