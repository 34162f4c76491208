package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"custom-misp/misp"
	"custom-misp/misp/api"
	"custom-misp/misp/internal/jsonscan"
)

// readMISP reads format misp: what MISP exports and publishes. {"response": [{"Event": …}]}, {"Event": …}, a list of either,
// {"response": {"Attribute": […]}}, a list of attributes, one attribute. Galaxies and references are no indicators.
func (p *pass) readMISP(in io.Reader) error {
	w := newJSONWalker(in, maxEvent)
	first, err := w.token()
	if err != nil {
		return err
	}
	n := 0
	switch first {
	case json.Delim('['):
		err = w.inside(first, []string{"*"}, func(raw json.RawMessage, _ []string) error { return p.mispItem(raw, &n) })
	case json.Delim('{'):
		err = p.mispObject(w, &n)
	default:
		return errors.New("no export of MISP")
	}
	if err != nil {
		return err
	}
	return w.end()
}

// mispObject reads the members of an object, up to its end.
func (p *pass) mispObject(w *jsonWalker, n *int) error {
	own := map[string]json.RawMessage{} // of an attribute
	for w.dec.More() {
		key, err := w.token()
		if err != nil {
			return err
		}
		name, _ := key.(string)
		if err := p.mispMember(w, name, own, n); err != nil {
			return err
		}
	}
	if _, err := w.token(); err != nil {
		return err
	}
	if own["type"] == nil || own["value"] == nil {
		return nil
	}
	raw, err := json.Marshal(own)
	if err != nil {
		return err
	}
	return p.attribute(raw, n)
}

// mispMember reads a member of an object. own takes those of an attribute.
func (p *pass) mispMember(w *jsonWalker, name string, own map[string]json.RawMessage, n *int) error {
	if name == "response" || name == "Attribute" {
		next, err := w.token()
		switch {
		case err != nil:
			return err
		case name == "response" && next == json.Delim('{'):
			return p.mispObject(w, n)
		}
		return w.inside(next, []string{"*"}, func(raw json.RawMessage, _ []string) error { return p.mispItem(raw, n) })
	}
	raw, err := w.raw()
	switch {
	case err != nil:
		return err
	case name == "Event":
		return p.event(append(append([]byte(`{"Event":`), raw...), '}'), n)
	case len(raw) <= maxQuoted && len(own) < maxColumns:
		own[name] = raw
	}
	return nil
}

// mispItem reads an item of a list: an event, or an attribute.
func (p *pass) mispItem(raw json.RawMessage, n *int) error {
	if jsonscan.Member(raw, "Event") != nil && jsonscan.Member(raw, "type") == nil {
		return p.event(raw, n)
	}
	if a := jsonscan.Member(raw, "Attribute"); a != nil && bytes.HasPrefix(bytes.TrimSpace(a), []byte("{")) {
		raw = a
	}
	return p.attribute(raw, n)
}

// attribute reads an attribute without an event, or with its event beside it.
func (p *pass) attribute(raw []byte, n *int) error {
	if jsonscan.Member(raw, "type") == nil || jsonscan.Member(raw, "value") == nil {
		*n++
		return p.skip(*n, reasonNoForm, string(raw[:min(len(raw), maxShown)]))
	}
	event := []byte(`{"Event":{"info":`)
	if e := jsonscan.Member(raw, "Event"); e != nil {
		event = bytes.TrimRight(bytes.TrimSpace(append([]byte(`{"Event":`), e...)), "}")
		event = append(event, `,"x":`...)
	}
	event = append(event, `"","Attribute":[`...)
	event = append(append(event, raw...), `]}}`...)
	return p.event(event, n)
}

// event reads an event. Each of its attributes is an entry, and an indicator of its own.
func (p *pass) event(raw []byte, n *int) error {
	event, attributes, err := api.DecodeEvent(p.ctx, raw)
	if err != nil {
		if cerr := p.ctx.Err(); cerr != nil {
			return cerr
		}
		*n++
		return p.skip(*n, fmt.Sprintf("an event that cannot be read: %v", err), string(raw[:min(len(raw), maxShown)]))
	}
	if event.UUID == "" {
		event.UUID, event.ID = "", ""
	}
	for a := range attributes {
		*n++
		a.Event = event
		if a.Type == "" || a.Value == "" {
			if err := p.skip(*n, reasonNoValue, a.Type); err != nil {
				return err
			}
			continue
		}
		if err := p.add(&entry{line: *n, text: a.Value, whole: true, given: []given{{attr: &a}}, own: about{event: &event}, row: attributeRow(a)}); err != nil {
			return err
		}
	}
	return p.ctx.Err()
}

// attributeRow is what expressions see of an attribute.
func attributeRow(a misp.Attribute) map[string]any {
	tags := make([]any, len(a.Tags))
	for i, t := range a.Tags {
		tags[i] = t
	}
	return map[string]any{
		"type": a.Type, "value": a.Value, "category": a.Category, "comment": a.Comment, "to_ids": a.ToIDs, "tags": tags,
		"event_info": a.Event.Info, "org": a.Event.Org,
	}
}
