package misptest

import (
	"net/http"
	"strconv"
)

// index answers /events/index to {"minimal": 1}: all events, drafts too, by id, each with little more than its
// clock. limit and page cut a page out; here the count in the header is that of all pages. published and
// searchpublish_timestamp filter. The answer without minimal is not implemented, and the server says so.
func (s *Server) index(w http.ResponseWriter, r *http.Request) {
	q, ok := readQuestion(w, r)
	if !ok {
		return
	}
	limit, err := limitOf(q["limit"])
	switch {
	case err != nil:
		Message(w, http.StatusInternalServerError, "An Internal Error Has Occurred.")
		return
	case !on(q["minimal"]):
		Message(w, http.StatusNotImplemented, "misptest lists events with minimal only")
		return
	}
	list := s.minimal(q)
	w.Header().Set("X-Result-Count", strconv.Itoa(len(list)))
	if limit > 0 {
		start := min(len(list), (pageOf(q["page"])-1)*limit)
		list = list[start:min(len(list), start+limit)]
	}
	answerJSON(w, list)
}

func (s *Server) minimal(q map[string]any) []map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	span, timed := spanOf(q["searchpublish_timestamp"], s.clock())
	list := []map[string]any{} // never null
	for _, e := range s.events {
		if !flagFits(q["published"], e.published) || timed && !span.has(e.publishTimestamp) {
			continue
		}
		list = append(list, map[string]any{
			"id": e.fields["id"], "timestamp": e.fields["timestamp"], "sighting_timestamp": "0", "published": e.published,
			"uuid": e.fields["uuid"], "orgc_uuid": e.org()["uuid"],
		})
	}
	return list
}
