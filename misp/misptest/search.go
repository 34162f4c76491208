package misptest

import (
	"cmp"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// search answers /attributes/restSearch.
func (s *Server) search(w http.ResponseWriter, r *http.Request) {
	s.count(func(c *Cost) { c.Searches++ })
	if !s.spend(w) {
		return
	}
	q, ok := readQuestion(w, r)
	if !ok {
		return
	}
	if format := q["returnFormat"]; format != nil && format != "json" { // the others are not made here
		Message(w, http.StatusNotFound, "Invalid output format.")
		return
	}
	s.answer(w, q)
}

// readQuestion reads the body of a search. MISP refuses broken JSON, but drops the whole question where it is no
// object, is not called JSON, or comes by another method, and continues without a filter. It answers itself if it
// refuses, and says so.
func readQuestion(w http.ResponseWriter, r *http.Request) (map[string]any, bool) {
	if r.Method == http.MethodGet {
		Message(w, http.StatusBadRequest, "No filters given.")
		return nil, false
	}
	body, _ := io.ReadAll(r.Body)
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Method != http.MethodPost || kind != "application/json" || len(body) == 0 {
		return nil, true
	}
	if !utf8.Valid(body) || !json.Valid(body) {
		Message(w, http.StatusMethodNotAllowed, "Invalid JSON input. Make sure that the JSON input is a correctly formatted JSON string. This request has been blocked to avoid an unfiltered request.")
		return nil, false
	}
	var q map[string]any
	_ = json.Unmarshal(body, &q) // nil for a list or a number
	return q, true
}

// AnswerEverything answers with the whole database, as MISP does to a question that it does not understand.
func (s *Server) AnswerEverything(w http.ResponseWriter) { s.answer(w, nil) }

func (s *Server) answer(w http.ResponseWriter, q map[string]any) {
	limit, err := limitOf(q["limit"])
	if err != nil {
		Message(w, http.StatusInternalServerError, "An Internal Error Has Occurred.")
		return
	}
	s.mu.Lock()
	body, count, skipped := s.page(q, limit)
	s.cost.Bytes += len(body)
	s.mu.Unlock()
	w.Header().Set("X-Result-Count", strconv.Itoa(count))
	w.Header().Set("X-Skipped-Elements-Count", strconv.Itoa(skipped))
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	_, _ = w.Write(body)
}

// page returns the page of attributes that a question asks for, the count that MISP gives, and how many a
// warninglist took out. The page is written out here, because nothing may change the database meanwhile: the caller
// holds mu.
func (s *Server) page(q map[string]any, limit int) (body []byte, count, skipped int) {
	found := s.find(q)
	count = len(found)
	s.cost.Rows += s.examined(q, len(found), limit)
	if limit > 0 {
		start := min(len(found), (pageOf(q["page"])-1)*limit)
		found = found[start:min(len(found), start+limit)]
		count = headerCount(len(found), limit)
	}
	out := newPaper(q, len(found))
	if on(q["includeSightings"]) {
		out.sightings = s.sightingsOf()
	}
	for _, a := range found {
		if on(q["enforceWarninglist"]) && a.warned() { // after the limit: the page gets shorter
			skipped++
			continue
		}
		out.add(a)
	}
	return out.finish(), count, skipped
}

// headerCount is what MISP says of the number of attributes on a page: one more for a full one, to say that there
// may be others, and one for an empty one.
func headerCount(n, limit int) int {
	if n == limit {
		return n + 1
	}
	return max(1, n)
}

// find returns the attributes that a question asks for, in its order. An order that MISP does not know is no order:
// then they come by id, but not if the question filters by time, when the database takes them from whatever index
// it likes. Here they come backwards then, so that no one relies on an order. The caller holds mu.
func (s *Server) find(q map[string]any) []*attribute {
	var found []*attribute
	filters, timed := s.filtersOf(q)
	for _, a := range s.attributes {
		if !slices.ContainsFunc(filters, func(fits filter) bool { return !fits(a) }) {
			found = append(found, a)
		}
	}
	order, _ := q["order"].(string)
	field, direction, _ := strings.Cut(strings.ToLower(order), " ")
	backwards := direction == "desc"
	switch field {
	case "attribute.timestamp":
		slices.SortStableFunc(found, func(a, b *attribute) int { return cmp.Compare(a.timestamp, b.timestamp) })
	case "attribute.id":
	default:
		backwards = timed
	}
	if backwards {
		slices.Reverse(found)
	}
	return found
}
