package enrich

import (
	"slices"

	"custom-misp/misp"
)

// This file says whose knowledge a match is, and where to read more.

// linkOf returns the address of the MISP server that matches are from; empty for none.
func (p *Pipeline) linkOf(origin string) string {
	switch {
	case len(p.Links) > 0:
		return p.Links[origin]
	case origin == "" || origin == misp.OriginServer:
		return p.Link
	}
	return ""
}

// eventIDs lists the events of matches. Several servers have the same event under different ids: that of the first is listed.
func (p *Pipeline) eventIDs(matches []Match) (ids []string) {
	listed, uuids := map[string]bool{}, map[string]bool{}
	for _, m := range matches {
		id, uuid := m.Attribute.Event.ID, m.Attribute.Event.UUID
		if listed[id] || len(p.Links) > 0 && uuids[uuid] {
			continue
		}
		listed[id], uuids[uuid] = true, uuid != ""
		ids = append(ids, id)
	}
	return ids
}

// alsoFrom returns the stronger of two matches by the same attribute, as known to the origins of both.
func alsoFrom(a, b Match) Match {
	origins := append(slices.Clone(a.origins()), b.origins()...)
	if compareStrength(b, a) < 0 {
		a = b
	}
	a.Origins = origins
	return a
}

// origins returns whose knowledge a match is.
func (m Match) origins() []string {
	if m.Origins != nil {
		return m.Origins
	}
	return []string{m.Attribute.Origin}
}

// originsOf lists whose knowledge matches are, that of the first match first.
func originsOf(matches []Match) (list []string) {
	add := func(name string) {
		if name != "" && !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	for _, m := range matches {
		add(m.Attribute.Origin)
		for _, name := range m.origins() {
			add(name)
		}
	}
	return list
}
