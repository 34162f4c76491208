package misptest

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
)

// index answers /events/index: all events, drafts too, by id. With {"minimal": 1} each has little more than its clock,
// and those are left out whose counter of attributes is 0, which says little: see [Server.DeleteObject]. Without it,
// all are there, with all that is known of them but their attributes. limit and page cut a page out; here the count in
// the header is that of all pages. published, timestamp and publish_timestamp filter, also as searchtimestamp and so on.
func (s *Server) index(w http.ResponseWriter, r *http.Request) {
	q, ok := readQuestion(w, r)
	if !ok {
		return
	}
	limit, err := limitOf(q["limit"])
	if err != nil {
		Message(w, http.StatusInternalServerError, "An Internal Error Has Occurred.")
		return
	}
	list, total := s.list(q, limit)
	w.Header().Set("X-Result-Count", strconv.Itoa(total))
	answerJSON(w, list)
}

// list returns a page of the list of events, and how many there are on all pages.
func (s *Server) list(q map[string]any, limit int) (list []map[string]any, total int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	minimal := on(q["minimal"])
	asked := func(key string) any {
		if v, ok := q["search"+key]; ok {
			return v
		}
		return q[key]
	}
	changed, timed := spanOf(asked("timestamp"), s.clock())
	published, pubTimed := spanOf(asked("publish_timestamp"), s.clock())
	found := slices.DeleteFunc(slices.Clone(s.events), func(e *event) bool {
		return e.hidden || minimal && e.count == 0 || !flagFits(q["published"], e.published) ||
			timed && !changed.has(e.timestamp) || pubTimed && !published.has(e.publishTimestamp)
	})
	total = len(found)
	s.cost.Events += total
	if limit > 0 {
		start := min(len(found), (pageOf(q["page"])-1)*limit)
		found = found[start:min(len(found), start+limit)]
	}
	list = []map[string]any{} // never null
	for _, e := range found {
		list = append(list, e.listed(minimal))
	}
	return list, total
}

// listed returns an event as the list shows it.
func (e *event) listed(minimal bool) map[string]any {
	if minimal {
		return map[string]any{
			"id": e.fields["id"], "timestamp": e.fields["timestamp"], "sighting_timestamp": "0", "published": e.published,
			"uuid": e.fields["uuid"], "orgc_uuid": e.org()["uuid"],
		}
	}
	out := maps.Clone(e.fields)
	out["attribute_count"] = strconv.Itoa(e.count)
	out["sighting_timestamp"], out["proposal_email_lock"], out["locked"] = "0", false, false
	out["disable_correlation"], out["protected"] = false, nil
	out["Org"], out["GalaxyCluster"] = out["Orgc"], []any{}
	tags := []map[string]any{}
	for _, t := range e.tags {
		tag := renderTag(t)
		tags = append(tags, map[string]any{"event_id": e.fields["id"], "tag_id": tag["id"], "local": on(t["local"]), "Tag": tag})
	}
	out["EventTag"] = tags
	return out
}
