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
// object, is not called JSON, or comes by another method, and goes on without a filter. It answers itself if it
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
	found := s.find(q)
	count := len(found)
	if limit > 0 {
		start := min(len(found), (pageOf(q["page"])-1)*limit)
		found = found[start:min(len(found), start+limit)]
		count = countTold(len(found), limit)
	}
	skipped := 0
	list := []map[string]any{} // never null
	for _, a := range found {
		if on(q["enforceWarninglist"]) && a.fields["warnings"] != nil { // after the limit: the page gets shorter
			skipped++
			continue
		}
		list = append(list, a.render(q))
	}
	w.Header().Set("X-Result-Count", strconv.Itoa(count))
	w.Header().Set("X-Skipped-Elements-Count", strconv.Itoa(skipped))
	answerJSON(w, map[string]any{"response": map[string]any{"Attribute": list}})
}

// countTold is what MISP says of the number of attributes on a page: one more for a full one, to tell that there
// may be others, and one for an empty one.
func countTold(n, limit int) int {
	if n == limit {
		return n + 1
	}
	return max(1, n)
}

// find returns the attributes that a question asks for, ordered by id where it does not say otherwise. An order
// that MISP does not know is none.
func (s *Server) find(q map[string]any) []attribute {
	want := valuesOf(q["value"])
	var found []attribute
	for _, a := range s.attributes {
		if a.fits(q) && want.fit(a) {
			found = append(found, a)
		}
	}
	order, _ := q["order"].(string)
	field, direction, _ := strings.Cut(strings.ToLower(order), " ")
	if field == "attribute.timestamp" {
		slices.SortStableFunc(found, func(a, b attribute) int {
			return cmp.Compare(textOf(a.fields["timestamp"]), textOf(b.fields["timestamp"]))
		})
	}
	if direction == "desc" && (field == "attribute.timestamp" || field == "attribute.id") {
		slices.Reverse(found)
	}
	return found
}

// fits judges all filters but that on the value. Unknown ones are ignored, misspelt ones with them.
func (a attribute) fits(q map[string]any) bool {
	return flagFits(q["to_ids"], on(a.fields["to_ids"])) &&
		flagFits(q["published"], on(a.event["published"])) &&
		deletedFits(q["deleted"], on(a.fields["deleted"])) &&
		wordFits(q["type"], textOf(a.fields["type"])) &&
		wordFits(q["category"], textOf(a.fields["category"])) &&
		wordFits(q["eventid"], textOf(a.fields["event_id"])) &&
		wordFits(q["threat_level_id"], textOf(a.event["threat_level_id"])) &&
		wordFits(q["org"], a.org()) &&
		tagsFit(q["tags"], a.tagNames())
}
