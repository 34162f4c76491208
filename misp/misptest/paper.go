package misptest

import (
	"encoding/json"
	"slices"
)

// A paper is what the answer to a search is written on, attribute by attribute. What attributes of an event have
// in common it writes out once, which is most of the work with many of them.
type paper struct {
	q      map[string]any
	expect int // attributes, at most
	events map[*event]common
	body   []byte

	sightings map[string][]map[string]any // by UUID of the attribute; nil if they are not wanted
}

// common is what each attribute of an event says of it, in JSON.
type common struct {
	event []byte
	tags  []byte // inherited ones; nil if there are none, or they are not wanted
}

const head = `{"response":{"Attribute":[` // a list without attributes is empty, never null

func newPaper(q map[string]any, expect int) *paper {
	return &paper{q: q, expect: expect, events: map[*event]common{}, body: []byte(head)}
}

func (p *paper) add(a *attribute) {
	first := len(p.body) == len(head)
	if !first {
		p.body = append(p.body, ',')
	}
	p.write(a)
	if first { // the others are about as long, and growing step by step would cost more than all else
		p.body = slices.Grow(p.body, p.expect*(len(p.body)-len(head)+16))
	}
}

func (p *paper) write(a *attribute) {
	seen := p.sightings[a.uuid()]
	if a.fields != nil {
		out := a.render(p.q)
		if len(seen) > 0 {
			out["Sighting"] = seen
		}
		data, _ := json.Marshal(out)
		p.body = append(p.body, data...)
		return
	}
	c := p.common(a.event)
	p.body = a.appendGenerated(p.body)
	p.body = append(append(p.body, `,"Event":`...), c.event...)
	if c.tags != nil {
		p.body = append(append(p.body, `,"Tag":`...), c.tags...)
	}
	if len(seen) > 0 {
		data, _ := json.Marshal(seen)
		p.body = append(append(p.body, `,"Sighting":`...), data...)
	}
	p.body = append(p.body, '}')
}

func (p *paper) common(e *event) common {
	c, ok := p.events[e]
	if ok {
		return c
	}
	c.event, _ = json.Marshal(e.render(p.q))
	bare := attribute{event: e}
	if tags := bare.renderTags(inherits(p.q)); len(tags) > 0 {
		c.tags, _ = json.Marshal(tags)
	}
	p.events[e] = c
	return c
}

func (p *paper) finish() []byte { return append(p.body, `]}}`...) }
