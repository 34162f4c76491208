package source

import (
	"cmp"
	"encoding/base64"
	"strings"
	"time"
	"unicode/utf8"

	"custom-misp/engine"
	"custom-misp/misp"
)

// ends returns when the indicators of an entry cease to count; zero for never.
func (p *pass) ends(e *entry) time.Time {
	x := p.source.expires
	if x.at == nil && x.after == 0 {
		return e.own.expires
	}
	if x.at != nil {
		if at := p.date(x.at, x.layout, e); !at.IsZero() {
			return at
		}
	}
	if !e.own.expires.IsZero() || x.after == 0 {
		return e.own.expires
	}
	from := p.now
	for _, given := range []*engine.Expression{x.from, p.source.lastSeen, p.source.firstSeen} {
		if given == nil {
			continue
		}
		if at := p.date(given, x.layout, e); !at.IsZero() {
			return at.Add(x.after)
		}
	}
	for _, at := range []time.Time{e.own.lastSeen, e.own.firstSeen} {
		if !at.IsZero() {
			return at.Add(x.after)
		}
	}
	return from.Add(x.after)
}

// date returns the time that an expression gives; zero for none.
func (p *pass) date(x *engine.Expression, layout string, e *entry) time.Time {
	if x == nil {
		return time.Time{}
	}
	text := trim(p.textOf(x, e))
	if isEmptyMark(text) {
		return time.Time{}
	}
	if p.layout != "" {
		if at, err := time.Parse(p.layout, text); err == nil {
			return at.UTC()
		}
	}
	at, used, ok := parseDate(text, layout)
	if !ok {
		p.report.badDate(text)
	}
	p.layout = used
	return at
}

// checkDates counts the dates of an entry that cannot be read.
func (p *pass) checkDates(e *entry) {
	p.date(p.source.firstSeen, p.source.expires.layout, e)
	p.date(p.source.lastSeen, p.source.expires.layout, e)
}

// describe sets what an entry says about an indicator.
func (p *pass) describe(e *entry, in *Indicator) {
	s := p.source
	layout := s.expires.layout
	if !e.whole {
		in.ToIDs = !e.own.notFlagged
		first, last := e.own.firstSeen, e.own.lastSeen
		if s.firstSeen != nil {
			first = p.date(s.firstSeen, layout, e)
		}
		if s.lastSeen != nil {
			last = p.date(s.lastSeen, layout, e)
		}
		in.FirstSeen, in.LastSeen = stamp(first), stamp(last)
		in.Timestamp = last
		if last.IsZero() {
			in.Timestamp = first
		}
		in.Comment, in.Reference = e.own.comment, e.own.reference
	}
	if e.own.event != nil {
		in.Event = *e.own.event
	}
	in.Event.ThreatLevel = cmp.Or(s.threatLevel, in.Event.ThreatLevel, e.own.threatLevel)
	var tags misp.TagList
	for _, t := range in.Tags {
		tags.Add(t)
	}
	for _, t := range s.tags {
		tags.Add(t)
	}
	for _, t := range e.own.tags {
		addTag(&tags, t)
	}
	if s.tagsFrom != nil {
		if out, err := p.run(s.tagsFrom, e); err == nil {
			for _, t := range tagsOf(out) {
				addTag(&tags, t)
			}
		}
	}
	in.Tags = tags.Tags()
	if s.toIDs != nil {
		if flagged, err := p.truth(s.toIDs, e); err == nil {
			in.ToIDs = flagged
		}
	}
	if s.comment != nil {
		in.Comment = short(trim(p.textOf(s.comment, e)))
	}
	if s.reference != nil {
		in.Reference = short(trim(p.textOf(s.reference, e)))
	}
	if isEmptyMark(in.Reference) {
		in.Reference = ""
	}
}

func addTag(to *misp.TagList, tag string) {
	if tag = strings.TrimPrefix(trim(tag), "#"); !isEmptyMark(tag) {
		to.Add(strings.Clone(tag))
	}
}

// tagsOf splits what tags_from gives.
func tagsOf(out any) []string {
	text, ok := out.(string)
	if !ok {
		return textsOf(out)
	}
	if strings.ContainsAny(text, ",;") {
		return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ';' })
	}
	return strings.Fields(text)
}

// stamp is a time as an attribute has it; empty for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}

// copyFrom takes over what another indicator of the same entry has.
func (in *Indicator) copyFrom(first *Indicator) {
	if in.UUID != "" { // a whole attribute
		return
	}
	t, v := in.Type, in.Value
	in.Attribute, in.Reference = first.Attribute, first.Reference
	in.Type, in.Value = t, v
}

// join adds what a later entry says about the same indicator.
func (in *Indicator) join(later Indicator) {
	var tags misp.TagList
	for _, list := range [][]string{in.Tags, later.Tags} {
		for _, t := range list {
			tags.Add(t)
		}
	}
	in.Tags = tags.Tags()
	in.ToIDs = in.ToIDs || later.ToIDs
	in.unused = min(in.unused, later.unused)
	in.Subdomains = in.Subdomains || later.Subdomains
	in.Comment, in.Reference = joinTexts(in.Comment, later.Comment), joinTexts(in.Reference, later.Reference)
	in.LastSeen = max(in.LastSeen, later.LastSeen)
	if in.FirstSeen == "" || later.FirstSeen != "" && later.FirstSeen < in.FirstSeen {
		in.FirstSeen = later.FirstSeen
	}
	if later.Timestamp.After(in.Timestamp) {
		in.Timestamp = later.Timestamp
	}
	if in.Expires.IsZero() || later.Expires.IsZero() {
		in.Expires = time.Time{}
	} else if later.Expires.After(in.Expires) {
		in.Expires = later.Expires
	}
}

// joinTexts joins two texts, if they are different and not long.
func joinTexts(a, b string) string {
	switch {
	case b == "" || strings.Contains(a, b) || a != "" && len(a)+len(b) > 1000:
		return a
	case a == "":
		return b
	}
	return a + " " + b
}

// fromBase64 undoes base64.
func fromBase64(text string) (plain, reason string) {
	text = trim(text)
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil || !utf8.Valid(data) {
		return "", reasonEncoding
	}
	return string(data), ""
}
