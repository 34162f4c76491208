package misptest

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
)

// A Sighting is one that the server took.
type Sighting struct {
	UUID   string // of the attribute
	Source string
	Type   string // "0": seen
	Date   string // in seconds since 1970, as it was sent
}

// Sightings returns what was taken so far.
func (s *Server) Sightings() []Sighting {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sightings)
}

// sightingsOf returns the sightings of each attribute, by its UUID, as a search answers them. The caller holds mu.
func (s *Server) sightingsOf() map[string][]map[string]any {
	of := map[string][]map[string]any{}
	for i, one := range s.sightings {
		of[one.UUID] = append(of[one.UUID], map[string]any{
			"id": strconv.Itoa(i + 1), "org_id": "1", "date_sighting": one.Date, "uuid": "sighting-" + strconv.Itoa(i+1), "source": one.Source,
			"type": cmp.Or(one.Type, "0"), "attribute_uuid": one.UUID, "Organisation": map[string]any{"id": "1", "name": ""},
		})
	}
	return of
}

// AddSighting adds a sighting as another user's: of type "0" seen, "1" false positive, "2" expiration; at a time in seconds
// since 1970.
func (s *Server) AddSighting(uuid, kind string, at int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sightings = append(s.sightings, Sighting{UUID: uuid, Type: kind, Date: strconv.FormatInt(at, 10)})
}

// sight answers /sightings/add. It adds one to each attribute that is meant: that with the uuid or id, or all that
// have one of the values, of which the answer shows the last. A failure has status 200 too, and only its message
// tells.
func (s *Server) sight(w http.ResponseWriter, r *http.Request) {
	if s.state().NoSightings {
		Message(w, http.StatusForbidden, NoPermission)
		return
	}
	var q map[string]any
	_ = json.NewDecoder(r.Body).Decode(&q)
	kind := textOf(q["type"])
	s.mu.Lock()
	defer s.mu.Unlock()
	meant := s.meant(q)
	switch {
	case kind != "" && kind != "0" && kind != "1" && kind != "2":
		refuseSighting(w, "Invalid type, please change it before you POST 1000000 sightings.")
	case q["uuid"] == nil && q["id"] == nil && q["value"] == nil && q["values"] == nil:
		refuseSighting(w, "No valid attributes found.")
	case len(meant) == 0:
		refuseSighting(w, "No valid attributes found that match the criteria.")
	default:
		answerJSON(w, map[string]any{"Sighting": s.take(q, meant)})
	}
}

func refuseSighting(w http.ResponseWriter, reason string) {
	answerJSON(w, map[string]any{"message": "Could not add the Sighting. Reason: " + reason})
}

// meant returns the attributes that a sighting is for. There are no wildcards here. The caller holds mu.
func (s *Server) meant(q map[string]any) []*attribute {
	var wanted []string
	for _, v := range append(texts(q["values"]), texts(q["value"])...) {
		wanted = append(wanted, fold(compress(v)))
	}
	var meant []*attribute
	for _, a := range s.attributes {
		byID := textOf(q["uuid"]) == a.uuid() || textOf(q["id"]) == strconv.Itoa(a.id)
		if byID || slices.ContainsFunc(a.compared(), func(half string) bool { return slices.Contains(wanted, half) }) {
			meant = append(meant, a)
		}
	}
	return meant
}

// take adds a sighting of each attribute, and returns the last as it is answered: with a uuid of its own. No clock
// of the attributes or their events moves. The caller holds mu.
func (s *Server) take(q map[string]any, meant []*attribute) map[string]any {
	for _, a := range meant {
		s.sightings = append(s.sightings, Sighting{
			UUID: a.uuid(), Source: textOf(q["source"]), Type: textOf(q["type"]), Date: unix(q["timestamp"]),
		})
	}
	last, taken := meant[len(meant)-1], s.sightings[len(s.sightings)-1]
	id := strconv.Itoa(len(s.sightings))
	return map[string]any{
		"id": id, "attribute_id": strconv.Itoa(last.id), "event_id": last.event.fields["id"], "org_id": "1",
		"date_sighting": taken.Date, "uuid": "sighting-" + id, "source": taken.Source, "type": taken.Type,
	}
}

// unix writes a time in seconds as MISP does, whether it came as a number or as a text.
func unix(v any) string {
	if n, ok := v.(float64); ok {
		return strconv.FormatInt(int64(n), 10)
	}
	return textOf(v)
}
