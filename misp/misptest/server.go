// Package misptest is a MISP server for tests: an HTTP server on the loopback interface that answers as a real
// MISP 2.5 was seen to answer, traps included.
//
// It compares values loosely (compare.go), takes much of a question for something else than it says
// (question.go), answers with its whole database where it does not understand one at all, and gives a count that
// is not the count (search.go). [Condition] brings it into the states in which a real one refuses.
//
// For tests of a mirror, its database changes while it serves (change.go): every change moves those clocks that it
// moves in a real one, by the server's own time ([Server.SetNow]), and some changes move no clock. [NewGenerated]
// starts a server with as many attributes as a benchmark needs.
package misptest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// Key is the key that the server accepts.
const Key = "fake-key-for-tests-only"

// A Request is a question that the server was asked.
type Request struct {
	Method string
	Path   string
	URI    string // with the query, as it was sent
	Header http.Header
	Body   map[string]any // nil if it was no JSON object
}

// T is what the server needs of a test, like *testing.T: a change that no user of a MISP could make fails it.
type T interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Fatal(args ...any)
	Cleanup(func())
}

// InExample replaces the test in an Example, which has no *testing.T. What would fail a test panics, and the server
// runs until it is closed.
type InExample struct{}

// Helper implements T.
func (InExample) Helper() {}

// Errorf implements T.
func (InExample) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// Fatalf implements T.
func (InExample) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// Fatal implements T.
func (InExample) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

// Cleanup implements T.
func (InExample) Cleanup(func()) {}

// Server is a MISP. It is made by [New] or [NewGenerated]. All its methods may be called while it serves, from any
// goroutine.
type Server struct {
	*httptest.Server
	t T

	mu         sync.Mutex
	attributes []*attribute // by id, ascending
	events     []*event     // by id, ascending
	last       ids          // given out, and never again
	now        time.Time    // zero for the real time

	requests  []Request
	fault     http.HandlerFunc
	sightings []Sighting
	condition Condition
	searches  int       // since the window began
	window    time.Time // when the user's first search of the last 15 minutes was
	cost      Cost
}

// New starts a server with the events of a directory in MISP feed format; it stops with the test. Values stand in
// the feed as MISP stores them: names in lower case and Punycode, IPv6 addresses compressed. An attribute may have
// warnings and decay_score, as they are answered when they are asked for; feeds have none.
func New(t T, feed fs.FS) *Server {
	t.Helper()
	s := &Server{t: t}
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
	s.start()
	return s
}

func (s *Server) start() {
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	s.t.Cleanup(s.Close)
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

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client is gone
	}
	request := Request{Method: r.Method, Path: r.URL.Path, URI: r.RequestURI, Header: r.Header.Clone()}
	_ = json.Unmarshal(body, &request.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	s.mu.Lock()
	s.requests = append(s.requests, request)
	s.cost.Questions++
	fault, n, now := s.fault, len(s.requests), s.clock()
	s.mu.Unlock()
	w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
	// A session for each answer, though a key does not need one.
	http.SetCookie(w, &http.Cookie{Name: "CAKEPHP", Value: fmt.Sprintf("session-%d", n), Path: "/", HttpOnly: true}) //nolint:gosec // as MISP sets it without HTTPS
	if fault != nil {
		fault(w, r)
		return
	}
	s.Answer(w, r)
}

// Answer answers as MISP does; a fault may call it for what it is not concerned with, or after it has changed the
// request as a proxy would.
func (s *Server) Answer(w http.ResponseWriter, r *http.Request) {
	if s.refuse(w, r) {
		return
	}
	// Double slashes, other case and a suffix do not keep a request from its page.
	page := strings.TrimSuffix(strings.ToLower(path.Clean(r.URL.Path)), ".json")
	controller, _, _ := strings.Cut(strings.TrimPrefix(page, "/"), "/")
	switch {
	case page == "/servers/getversion":
		answerJSON(w, versionAnswer)
	case page == "/users/view/me":
		answerJSON(w, userAnswer)
	case page == "/sightings/add":
		s.sight(w, r)
	case page == "/attributes/restsearch":
		s.search(w, r)
	case page == "/events/index" && r.Method == http.MethodPost:
		s.index(w, r)
	case slices.Contains([]string{"attributes", "events", "servers", "sightings", "users"}, controller):
		Message(w, http.StatusForbidden, NoPermission) // no one has a right to an unknown page there
	default:
		Message(w, http.StatusNotFound, "Not Found")
	}
}

// Message answers an error in MISP's shape.
func Message(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	data, _ := json.Marshal(map[string]string{"name": message, "message": message, "url": "/attributes/restSearch"})
	_, _ = w.Write(data)
}
