package misptest

import (
	"fmt"
	"net/http"
	"slices"
)

// A Sighting is one that the server was told of.
type Sighting struct {
	UUID, Source string
}

// Sightings returns what was taken so far.
func (s *Server) Sightings() []Sighting {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sightings)
}

// sight answers /sightings/add: a failure has status 200 too, and only its message tells.
func (s *Server) sight(w http.ResponseWriter, q map[string]any) {
	uuid := fmt.Sprint(q["uuid"])
	for _, a := range s.attributes {
		if a.fields["uuid"] != uuid {
			continue
		}
		s.mu.Lock()
		s.sightings = append(s.sightings, Sighting{uuid, fmt.Sprint(q["source"])})
		s.mu.Unlock()
		answerJSON(w, map[string]any{"Sighting": map[string]any{
			"id": "1", "attribute_id": a.fields["id"], "event_id": a.fields["event_id"], "org_id": "1",
			"date_sighting": fmt.Sprint(q["timestamp"]), "uuid": uuid, "source": q["source"], "type": fmt.Sprint(q["type"]),
		}})
		return
	}
	answerJSON(w, map[string]any{"message": "Could not add the Sighting. Reason: No valid attributes found that match the criteria."})
}
