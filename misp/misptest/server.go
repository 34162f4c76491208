// Package misptest is a MISP server for tests: an HTTP server on the loopback interface that answers
// /attributes/restSearch as a real MISP 2.5 was seen to answer, traps included. It compares values without
// regard to case and accents, takes % at either end of a value for a wildcard, answers a question without a
// filter with all that it has, and finds composite attributes by either half.
package misptest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode"

	"golang.org/x/text/runes"
	"golang.org/x/text/transform"
	"golang.org/x/text/unicode/norm"
)

// Key is the key that the server accepts.
const Key = "fake-key-for-tests-only"

// A Request is a question that the server was asked.
type Request struct {
	Path   string
	Header http.Header
	Body   map[string]any // nil if it was not JSON
}

// Server is a MISP with the events of a feed directory.
type Server struct {
	*httptest.Server
	attributes []attribute

	mu        sync.Mutex
	requests  []Request
	fault     http.HandlerFunc
	sightings []Sighting
}

// attribute is one as the server keeps it.
type attribute struct {
	fields map[string]any // as answered
	event  map[string]any
	halves []string
	tags   []map[string]any // with those of the event
}

// New starts a server with the events of a directory in MISP feed format; it stops with the test.
func New(t testing.TB, feed fs.FS) *Server {
	t.Helper()
	s := &Server{}
	names, err := fs.Glob(feed, "*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if name == "manifest.json" {
			continue
		}
		data, err := fs.ReadFile(feed, name)
		if err != nil {
			t.Fatal(err)
		}
		var file struct{ Event map[string]any }
		if err := json.Unmarshal(data, &file); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		s.load(file.Event)
	}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

// Requests returns the questions asked so far.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Fault lets h answer instead of MISP, until it is set to nil.
func (s *Server) Fault(h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = h
}

// load takes an event over, giving out ids as a server does.
func (s *Server) load(event map[string]any) {
	eventID := strconv.Itoa(len(s.attributes)/100 + 1)
	if n := len(s.attributes); n > 0 {
		last, _ := strconv.Atoi(fmt.Sprint(s.attributes[n-1].fields["event_id"]))
		eventID = strconv.Itoa(last + 1)
	}
	context := map[string]any{"id": eventID, "Tag": event["Tag"], "Orgc": event["Orgc"]}
	for _, k := range []string{"uuid", "info", "date", "threat_level_id", "analysis", "published", "timestamp", "publish_timestamp"} {
		context[k] = event[k]
	}
	lists := []any{event["Attribute"]}
	for _, o := range items(event["Object"]) {
		lists = append(lists, o["Attribute"])
	}
	for _, list := range lists {
		for _, fields := range items(list) {
			fields["id"], fields["event_id"] = strconv.Itoa(len(s.attributes)+1), eventID
			a := attribute{fields: fields, event: context}
			for half := range strings.SplitSeq(fmt.Sprint(fields["value"]), "|") {
				a.halves = append(a.halves, fold(half))
			}
			if len(a.halves) == 1 {
				a.halves = append(a.halves, "") // value2 of most attributes, found by an empty item
			}
			a.tags = items(fields["Tag"])
			for _, tag := range items(event["Tag"]) {
				a.tags = append(a.tags, map[string]any{"name": tag["name"], "inherited": 1})
			}
			s.attributes = append(s.attributes, a)
		}
	}
}

func items(list any) []map[string]any {
	var out []map[string]any
	values, _ := list.([]any)
	for _, v := range values {
		if m, ok := v.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// fold does to a value what MISP's database does when it compares: case, accents, width and blanks at the end
// do not count.
func fold(s string) string {
	accents := transform.Chain(norm.NFKD, runes.Remove(runes.In(unicode.Mn)))
	folded, _, err := transform.String(accents, s)
	if err != nil {
		folded = s
	}
	return strings.TrimRight(strings.ToLower(strings.ReplaceAll(folded, "\u200b", "")), " \x00")
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client is gone
	}
	request := Request{Path: r.URL.Path, Header: r.Header.Clone()}
	_ = json.Unmarshal(body, &request.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	s.mu.Lock()
	s.requests = append(s.requests, request)
	fault := s.fault
	s.mu.Unlock()
	if fault != nil {
		fault(w, r)
		return
	}
	s.Answer(w, r)
}

// Answer answers as MISP does; a fault may call it for what it is not concerned with.
func (s *Server) Answer(w http.ResponseWriter, r *http.Request) {
	var q map[string]any
	jsonError := json.NewDecoder(r.Body).Decode(&q)
	switch {
	case r.Header.Get("Authorization") != Key:
		Message(w, http.StatusForbidden, "Authentication failed. Please make sure you pass the API key of an API enabled user along in the Authorization header.")
	case r.URL.Path == "/servers/getVersion":
		answerJSON(w, versionAnswer)
	case r.URL.Path == "/users/view/me":
		answerJSON(w, userAnswer)
	case r.URL.Path == "/sightings/add":
		s.sight(w, q)
	case !strings.EqualFold(r.URL.Path, "/attributes/restSearch"):
		Message(w, http.StatusNotFound, "Not Found")
	case !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json"):
		s.answer(w, nil) // the question is ignored
	case jsonError != nil:
		Message(w, http.StatusMethodNotAllowed, "Invalid JSON input. Make sure that the JSON input is a correctly formatted JSON string. This request has been blocked to avoid an unfiltered request.")
	default:
		s.answer(w, q)
	}
}

// Message answers an error in MISP's shape.
func Message(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	data, _ := json.Marshal(map[string]string{"name": message, "message": message, "url": "/attributes/restSearch"})
	_, _ = w.Write(data)
}

// AnswerEverything answers with the whole database, as MISP does to a question that it does not understand.
func (s *Server) AnswerEverything(w http.ResponseWriter) { s.answer(w, nil) }

func (s *Server) answer(w http.ResponseWriter, q map[string]any) {
	found := []map[string]any{}
	for _, a := range s.attributes {
		if a.matches(q) {
			found = append(found, a.render(q))
		}
	}
	if limit := intOf(q["limit"]); limit > 0 {
		page := max(1, intOf(q["page"]))
		found = found[min(len(found), (page-1)*limit):]
		found = found[:min(len(found), limit)]
	}
	w.Header().Set("X-Result-Count", strconv.Itoa(len(found)+1)) // MISP's own count is not that of the answer
	answerJSON(w, map[string]any{"response": map[string]any{"Attribute": found}})
}

func intOf(v any) int {
	n, err := strconv.ParseFloat(fmt.Sprint(v), 64)
	if err != nil {
		return 0
	}
	return int(n)
}

func (a attribute) matches(q map[string]any) bool {
	if types := texts(q["type"]); len(types) > 0 && !slices.Contains(types, fmt.Sprint(a.fields["type"])) {
		return false
	}
	if intOf(q["to_ids"]) == 1 && a.fields["to_ids"] != true {
		return false
	}
	value := q["value"]
	if or, ok := value.(map[string]any); ok {
		value = or["OR"]
	}
	asked := texts(value)
	if len(asked) == 0 {
		return true // no filter
	}
	return slices.ContainsFunc(asked, func(want string) bool {
		f := fold(want)
		start, open := strings.CutSuffix(f, "%")
		end, openStart := strings.CutPrefix(f, "%")
		return slices.ContainsFunc(a.halves, func(half string) bool {
			switch {
			case open && openStart:
				return strings.Contains(half, strings.TrimPrefix(start, "%"))
			case open:
				return strings.HasPrefix(half, start)
			case openStart:
				return strings.HasSuffix(half, end)
			}
			return half == f
		})
	})
}

func texts(v any) []string {
	switch v := v.(type) {
	case string:
		if v != "" {
			return []string{v}
		}
	case []any:
		var out []string
		for _, item := range v {
			out = append(out, fmt.Sprint(item))
		}
		return out
	}
	return nil
}

func (a attribute) render(q map[string]any) map[string]any {
	out := map[string]any{}
	maps.Copy(out, a.fields)
	event := map[string]any{"id": a.event["id"], "uuid": a.event["uuid"], "info": a.event["info"]}
	if q["includeContext"] == true {
		event = a.event
	}
	out["Event"] = event
	if q["includeEventTags"] == true {
		out["Tag"] = a.tags
	}
	return out
}
