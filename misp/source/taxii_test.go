package source_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
	"custom-misp/misp"
	"custom-misp/misp/mirror"
	"custom-misp/misp/source"
)

// A taxiiServer is a server of TAXII 2.1 that is strict about all that the standard asks for.
type taxiiServer struct {
	*httptest.Server
	mu       sync.Mutex
	objects  []taxiiObject // in the order in which they were added
	pageSize int
	asked    []string                                          // questions for objects
	instead  func(w http.ResponseWriter, r *http.Request) bool // answers, and returns true; nil for none
	noDates  bool                                              // leaves X-TAXII-Date-Added-* out
	noNext   bool                                              // has no next beside more
	noMatch  bool                                              // refuses match
}

type taxiiObject struct {
	added time.Time
	json  string
}

const (
	collectionID = "91a7b528-80eb-42ed-a74d-c6fbd5a26116"
	taxiiUser    = "soc"
	taxiiSecret  = "s3cret"
)

func newTAXII(t *testing.T) *taxiiServer {
	t.Helper()
	s := &taxiiServer{pageSize: 2}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *taxiiServer) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.instead != nil && s.instead(w, r) {
		return
	}
	user, password, _ := r.BasicAuth()
	status := 0
	switch {
	case user != taxiiUser || password != taxiiSecret:
		w.Header().Set("WWW-Authenticate", "Basic")
		status = http.StatusUnauthorized
	case r.Header.Get("Accept") != "application/taxii+json;version=2.1":
		status = http.StatusNotAcceptable
	case r.Header.Get("Content-Type") != "" || !strings.HasSuffix(r.URL.Path, "/"):
		status = http.StatusBadRequest
	}
	w.Header().Set("Content-Type", "application/taxii+json;version=2.1")
	if status != 0 {
		w.WriteHeader(status)
		return
	}
	collection := `{"id":"` + collectionID + `","title":"High value","can_read":true,"can_write":false,"media_types":["application/stix+json;version=2.1"]}`
	switch r.URL.Path {
	case "/taxii2/":
		_, _ = fmt.Fprintf(w, `{"title":"T","default":"%s/api1/","api_roots":["%s/api1/","/api2"]}`, s.URL, s.URL)
	case "/api1/", "/api2/":
		_, _ = fmt.Fprint(w, `{"title":"root","versions":["application/taxii+json;version=2.1"],"max_content_length":104857600}`)
	case "/api1/collections/":
		_, _ = fmt.Fprintf(w, `{"collections":[{"id":"x","title":"Not for us","can_read":false},%s]}`, collection)
	case "/api2/collections/":
		_, _ = fmt.Fprint(w, `{}`)
	case "/api1/collections/" + collectionID + "/":
		_, _ = fmt.Fprint(w, collection)
	case "/api1/collections/" + collectionID + "/objects/":
		s.page(w, r)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// page answers with the objects that were added later than is asked for.
func (s *taxiiServer) page(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	w.Header().Set("Date", now.Add(time.Duration(len(s.objects))*time.Second).Format(http.TimeFormat))
	s.asked = append(s.asked, fmt.Sprintf("added_after=%s next=%s", q.Get("added_after"), q.Get("next")))
	if s.noMatch && q.Has("match[type]") {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	after, _ := time.Parse(time.RFC3339Nano, q.Get("added_after"))
	var found []taxiiObject
	for _, o := range s.objects {
		if o.added.After(after) {
			found = append(found, o)
		}
	}
	from, _ := strconv.Atoi(strings.TrimPrefix(q.Get("next"), "a/b+c="))
	found = found[min(from, len(found)):]
	page := found[:min(s.pageSize, len(found))]
	envelope := map[string]any{}
	var list []json.RawMessage
	for _, o := range page {
		list = append(list, json.RawMessage(o.json))
	}
	if len(list) > 0 {
		envelope["objects"] = list
		if !s.noDates {
			w.Header().Set("X-TAXII-Date-Added-First", page[0].added.Format("2006-01-02T15:04:05.000000Z"))
			w.Header().Set("X-TAXII-Date-Added-Last", page[len(page)-1].added.Format("2006-01-02T15:04:05.000000Z"))
		}
	}
	if len(found) > len(page) {
		envelope["more"] = true
		if !s.noNext {
			envelope["next"] = fmt.Sprintf("a/b+c=%d", from+len(page))
		}
	}
	_ = json.NewEncoder(w).Encode(envelope)
}

// add adds objects, each a second after the last one.
func (s *taxiiServer) add(objects ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range objects {
		s.objects = append(s.objects, taxiiObject{now.Add(time.Duration(len(s.objects)) * time.Second), o})
	}
}

func (s *taxiiServer) questions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

func (s *taxiiServer) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// indicator is an indicator of a name, in a version; further has members besides.
func indicator(id int, version int, name string, further ...string) string {
	return fmt.Sprintf(`{"type":"indicator","spec_version":"2.1","id":"indicator--%d","modified":"2026-01-02T03:04:%02d.000Z","pattern_type":"stix","pattern":"[domain-name:value = '%s']"%s}`,
		id, version, name, strings.Join(append([]string{""}, further...), ","))
}

// A taxiiSite is a source with a mirror of its own.
type taxiiSite struct {
	t       *testing.T
	dir     string
	now     time.Time
	declare string
	access  mirror.Access
}

func newTAXIISite(t *testing.T, s *taxiiServer, path, declare string) *taxiiSite {
	t.Helper()
	header := http.Header{}
	r := http.Request{Header: header}
	r.SetBasicAuth(taxiiUser, taxiiSecret)
	return &taxiiSite{
		t: t, dir: t.TempDir(), now: now, declare: "format: taxii\nurl: " + s.URL + path + "\n" + declare,
		access: mirror.Access{
			Place: s.URL + path, Headers: header, RetryWait: time.Millisecond,
			CA: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}),
		},
	}
}

// sync syncs as a process of its own would, a minute later, and returns the values that are known then.
func (s *taxiiSite) sync(ctx context.Context, full bool) (values []string, state mirror.State, err error) {
	s.t.Helper()
	s.now = s.now.Add(time.Minute)
	y := &mirror.Syncer{Dir: s.dir, Now: func() time.Time { return s.now }}
	defer y.Close()
	state, err = y.Sync(ctx, load(s.t, s.declare).Origin(s.access), full)
	m := mirror.Open(s.dir, []string{"x"}, engine.Filter{})
	defer m.Close()
	values = []string{}
	for _, a := range s.attributes() {
		values = append(values, a.Value)
	}
	slices.Sort(values)
	return values, state, err
}

func (s *taxiiSite) attributes() (all []misp.Attribute) {
	s.t.Helper()
	m := mirror.Open(s.dir, []string{"x"}, engine.Filter{})
	defer m.Close()
	for a, err := range m.All() {
		if err != nil && !errors.Is(err, mirror.ErrNever) {
			s.t.Error(err)
		}
		if err == nil {
			all = append(all, a)
		}
	}
	return all
}

// want syncs, and compares what is known then.
func (s *taxiiSite) want(what, fails string, want ...string) mirror.State {
	s.t.Helper()
	values, state, err := s.sync(s.t.Context(), false)
	if (err == nil) != (fails == "") || err != nil && !strings.Contains(err.Error(), fails) {
		s.t.Errorf("%s: error %v, want %q", what, err, fails)
	}
	if err != nil && strings.Contains(err.Error(), taxiiSecret) {
		s.t.Errorf("%s: the error has a secret: %v", what, err)
	}
	if diff := cmp.Diff(append([]string{}, want...), values); diff != "" {
		s.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
	return state
}

// TestTAXII reads a collection page by page, then only what is new: earlier indicators stay, revoked ones go.
func TestTAXII(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/taxii2/", "/taxii2", "/api1/", "/api1/collections/", "/api1/collections/" + collectionID, "/api1/collections/" + collectionID + "/objects/"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			s := newTAXII(t)
			s.add(indicator(1, 1, "one.example"), indicator(2, 1, "two.example"),
				`{"type":"relationship","id":"relationship--1","relationship_type":"indicates","source_ref":"indicator--1","target_ref":"malware--1"}`,
				`{"type":"malware","id":"malware--1","name":"Fam"}`, indicator(3, 1, "three.example"))
			x := newTAXIISite(t, s, path, "")
			x.want("first", "", "one.example", "three.example", "two.example")
			last := now.Add(4 * time.Second).Format("2006-01-02T15:04:05.000000Z")
			if d := cmp.Diff([]string{"added_after= next=", "added_after= next=a/b+c=2", "added_after= next=a/b+c=4"}, s.questions()); d != "" {
				t.Errorf("first (-want +got):\n%s", d)
			}
			state := x.want("nothing new", "", "one.example", "three.example", "two.example")
			if d := cmp.Diff([]string{"added_after=" + last + " next="}, s.questions()); d != "" || !state.SyncedAt.Equal(x.now) || state.FullAt.Equal(x.now) {
				t.Errorf("nothing new: %s\n%+v", d, state)
			}
			s.add(indicator(2, 2, "two.example", `"revoked":true`), indicator(1, 2, "uno.example"), indicator(4, 1, "four.example"))
			x.want("new", "", "four.example", "three.example", "uno.example")
			if asked := s.questions(); len(asked) != 2 || asked[0] != "added_after="+last+" next=" {
				t.Errorf("new: %q", asked)
			}
			for _, a := range x.attributes() {
				if a.Value == "uno.example" && !slices.Contains(a.Tags, "Fam") {
					t.Errorf("the family that an earlier page named is gone: %+v", a)
				}
			}
		})
	}
}

// TestTAXIIEnds has indicators end at valid_until, and marks them with the label of the Traffic Light Protocol.
func TestTAXIIEnds(t *testing.T) {
	t.Parallel()
	s := newTAXII(t)
	s.add(`{"type":"marking-definition","id":"marking-definition--own","definition_type":"tlp","definition":{"tlp":"red"}}`,
		`{"type":"marking-definition","id":"marking-definition--new","extensions":{"extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d":{"extension_type":"property-extension","tlp_2_0":"amber+strict"}}}`,
		indicator(1, 1, "one.example", `"valid_until":"2999-01-01T00:00:00Z"`, `"object_marking_refs":["marking-definition--own"]`),
		indicator(2, 1, "two.example", `"object_marking_refs":["marking-definition--new"]`),
		indicator(3, 1, "three.example", `"object_marking_refs":["marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003","marking-definition--none"]`))
	x := newTAXIISite(t, s, "/taxii2/", "")
	x.want("first", "", "one.example", "three.example", "two.example")
	for _, a := range x.attributes() {
		want := map[string]string{"one.example": "tlp:red", "two.example": "tlp:amber+strict", "three.example": "tlp:amber+strict"}[a.Value]
		if strings.Join(a.Tags, " ") != want || (a.Value == "one.example") != (a.Expires.Year() == 2999) {
			t.Errorf("%s: %v until %s", a.Value, a.Tags, a.Expires)
		}
	}
}

// TestTAXIIServers reads servers that leave out what the standard asks for.
func TestTAXIIServers(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*taxiiServer)
		fails  string
	}{
		"no next":         {func(s *taxiiServer) { s.noNext = true }, ""},
		"no dates":        {func(s *taxiiServer) { s.noDates = true }, ""},
		"neither":         {func(s *taxiiServer) { s.noNext, s.noDates = true, true }, "the server says that there is more, and not where"},
		"no match":        {func(s *taxiiServer) { s.noMatch = true }, ""},
		"416 for no data": {func(s *taxiiServer) { s.noDataIs(http.StatusRequestedRangeNotSatisfiable) }, ""},
		"404 for no data": {func(s *taxiiServer) { s.noDataIs(http.StatusNotFound) }, ""},
		"a page without type": {func(s *taxiiServer) {
			s.instead = func(w http.ResponseWriter, _ *http.Request) bool { w.Header().Set("Content-Type", ""); return false }
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newTAXII(t)
			s.add(indicator(1, 1, "one.example"), indicator(2, 1, "two.example"), indicator(3, 1, "three.example"))
			tt.change(s)
			x := newTAXIISite(t, s, "/api1/", "")
			if tt.fails != "" {
				x.want(name, tt.fails)
				return
			}
			x.want(name, "", "one.example", "three.example", "two.example")
			x.want("again", "", "one.example", "three.example", "two.example")
			s.add(indicator(4, 1, "four.example"))
			x.want("new", "", "four.example", "one.example", "three.example", "two.example")
		})
	}
}

// noDataIs has the server answer a question for which it has no object with a status.
func (s *taxiiServer) noDataIs(status int) {
	s.instead = func(w http.ResponseWriter, r *http.Request) bool {
		after, err := time.Parse(time.RFC3339Nano, r.URL.Query().Get("added_after"))
		if err != nil || s.objects[len(s.objects)-1].added.After(after) {
			return false
		}
		w.WriteHeader(status)
		return true
	}
}

// TestTAXIIRefused says what to do about each answer of a server, and keeps what was there.
func TestTAXIIRefused(t *testing.T) {
	t.Parallel()
	status := func(code int, path string, headers ...string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, path) {
				return false
			}
			for i := 0; i+1 < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			w.WriteHeader(code)
			return true
		}
	}
	text := func(kind, path, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, path) {
				return false
			}
			w.Header().Set("Content-Type", kind)
			_, _ = fmt.Fprint(w, body)
			return true
		}
	}
	const kind = "application/taxii+json;version=2.1"
	for name, tt := range map[string]struct {
		instead func(http.ResponseWriter, *http.Request) bool
		fails   string
	}{
		"401":                {status(401, "/"), "answered 401 Unauthorized; the server wants to know who asks: declare auth:"},
		"403":                {status(403, "/objects/"), "collection High value: answered 403 Forbidden; the account may not read this"},
		"404":                {status(404, "/taxii2/"), "answered 404 Not Found; is url the address of a TAXII 2.1 server"},
		"406":                {status(406, "/"), "answered 406 Not Acceptable to a request for application/taxii+json;version=2.1; the server speaks another version of TAXII"},
		"415":                {status(415, "/"), "answered 415 Unsupported Media Type to a request for application/taxii+json;version=2.1"},
		"429":                {status(429, "/", "Retry-After", "3600"), "answered 429 Too Many Requests, and asks for no request in the next 1h0m0s"},
		"500":                {status(500, "/objects/"), "answered 500 Internal Server Error"},
		"HTML":               {text("text/html", "/", "<html>"), "it answers with an HTML page"},
		"HTML, undeclared":   {text("", "/", "<!DOCTYPE html><html>"), "it answers with an HTML page"},
		"2.0":                {text("application/vnd.oasis.taxii+json; version=2.0", "/", `{"api_roots":["/x/"]}`), "the server speaks TAXII 2.0; TAXII 2.1 is needed"},
		"no JSON":            {text(kind, "/taxii2/", `{"api_roots":`), "an answer that is not of TAXII"},
		"other JSON":         {text(kind, "/taxii2/", `{"error":"x"}`), "the answer names no API root and no collection"},
		"a root elsewhere":   {text(kind, "/taxii2/", `{"api_roots":["https://other.example/api/"]}`), "the API root https://other.example/api/ is on another server, which does not get the keys of this one"},
		"a root without TLS": {text(kind, "/taxii2/", `{"api_roots":["http://127.0.0.1/api/"]}`), "is on another server"},
		"many roots":         {text(kind, "/taxii2/", `{"api_roots":["/a/"`+strings.Repeat(`,"/b/"`, 30)+`]}`), "the server has 31 API roots, more than 20"},
		"no page":            {text(kind, "/objects/", `[1]`), "collection High value: a page that is not of TAXII"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newTAXII(t)
			s.add(indicator(1, 1, "one.example"))
			x := newTAXIISite(t, s, "/taxii2/", "")
			x.want("first", "", "one.example")
			s.set(func() { s.instead = tt.instead })
			state := x.want(name, tt.fails, "one.example")
			if state.Failures != 1 || (name == "429") != !state.NotBefore.IsZero() {
				t.Errorf("%+v", state)
			}
			s.set(func() { s.instead = nil })
			s.add(indicator(2, 1, "two.example"))
			x.now = x.now.Add(2 * time.Hour)
			x.want("well again", "", "one.example", "two.example")
		})
	}
}

// TestTAXIICollections reads the collections that are declared, and names those that there are.
func TestTAXIICollections(t *testing.T) {
	t.Parallel()
	s := newTAXII(t)
	s.add(indicator(1, 1, "one.example"))
	for name, fails := range map[string]string{
		"High value": "", collectionID: "", "Low value": `there is no collection "Low value"; there are: Not for us, High value`,
		"Not for us": `the collection "Not for us" may not be read with this account`,
	} {
		var want []string
		if fails == "" {
			want = []string{"one.example"}
		}
		newTAXIISite(t, s, "/taxii2/", "taxii: {collections: [\""+name+"\"]}").want(name, fails, want...)
	}
	s.set(func() { s.asked = nil })
	newTAXIISite(t, s, "/taxii2/", "taxii: {since: 30d, limit: 7}").want("since", "", "one.example")
	if asked := s.questions(); len(asked) != 1 || asked[0] != "added_after="+now.Add(time.Minute-30*24*time.Hour).Format("2006-01-02T15:04:05.000000Z")+" next=" {
		t.Errorf("asked %q", asked)
	}
}

// TestTAXIIInterrupted goes on where a walk ended that failed or was killed, with what the server gave for the next page, or,
// when that is too old or unknown, behind what was read. The copy that was there stays until the walk is complete.
func TestTAXIIInterrupted(t *testing.T) {
	t.Parallel()
	s := newTAXII(t)
	s.add(indicator(1, 1, "one.example"), indicator(2, 1, "two.example"))
	x := newTAXIISite(t, s, "/taxii2/", "")
	x.want("first", "", "one.example", "two.example")
	last := now.Add(time.Second).Format("2006-01-02T15:04:05.000000Z")
	s.add(indicator(1, 2, "uno.example"), indicator(3, 1, "three.example"), indicator(4, 1, "four.example"), indicator(5, 1, "five.example"), indicator(6, 1, "six.example"))
	s.questions()
	failing := func(next string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Get("next") != next {
				return false
			}
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}
	}
	s.set(func() { s.instead = failing("a/b+c=2") })
	x.want("page 2 fails", "answered 500", "one.example", "two.example")
	s.set(func() { s.instead = nil })
	ctx, cancel := context.WithCancel(t.Context())
	s.set(func() {
		s.instead = func(_ http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Get("next") == "a/b+c=4" {
				cancel() // as if it was killed
			}
			return false
		}
	})
	s.questions()
	if values, _, err := x.sync(ctx, false); err == nil || len(values) != 2 {
		t.Errorf("killed: %v, %v", values, err)
	}
	if asked := s.questions(); asked[0] != "added_after="+last+" next=a/b+c=2" {
		t.Errorf("goes on with %q", asked)
	}
	// What is not complete at the end of the file does not count.
	name := filepath.Join(x.dir, "x", "collected")
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteString(indicator(9, 1, "half.example") + "\n{\"type\":")
	_ = f.Close()
	// The server has forgotten the page.
	s.set(func() {
		s.instead = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Get("next") == "a/b+c=4" {
				w.WriteHeader(http.StatusGone)
				return true
			}
			return false
		}
	})
	x.want("the rest", "", "five.example", "four.example", "six.example", "three.example", "two.example", "uno.example")
	asked := s.questions()
	read := now.Add(5 * time.Second).Format("2006-01-02T15:04:05.000000Z")
	if len(asked) != 1 || asked[0] != "added_after="+read+" next=" {
		t.Errorf("the rest: %q, want one question for what was added after %s", asked, read)
	}
}

// TestTAXIIWhole collects everything anew when it is asked for, after a week, or when the declaration names something else:
// what is gone at the server goes then.
func TestTAXIIWhole(t *testing.T) {
	t.Parallel()
	s := newTAXII(t)
	s.add(indicator(1, 1, "one.example"), indicator(2, 1, "two.example"), indicator(3, 1, "three.example"))
	x := newTAXIISite(t, s, "/taxii2/", "")
	x.want("first", "", "one.example", "three.example", "two.example")
	s.set(func() { s.objects = s.objects[1:] })
	x.want("as before", "", "one.example", "three.example", "two.example")
	if values, _, err := x.sync(t.Context(), true); err != nil || strings.Join(values, " ") != "three.example two.example" {
		t.Errorf("asked for: %v, %v", values, err)
	}
	s.set(func() { s.objects = s.objects[1:] })
	x.now = x.now.Add(8 * 24 * time.Hour)
	x.want("after a week", "", "three.example")
	s.questions()
	x.declare += "\ntags: [x]"
	x.want("other tags", "", "three.example")
	if asked := s.questions(); len(asked) != 1 || asked[0] == "added_after= next=" {
		t.Errorf("other tags: %q", asked)
	}
	x.declare += "\ntaxii: {collections: [High value]}"
	x.want("other collections", "", "three.example")
	if asked := s.questions(); len(asked) != 1 || asked[0] != "added_after= next=" {
		t.Errorf("other collections: %q", asked)
	}
}

// TestTAXIIHostile ends a sync with an error, whatever a server sends, and keeps what was there.
func TestTAXIIHostile(t *testing.T) {
	t.Parallel()
	n := 0
	pages := func(body func() string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/objects/") {
				return false
			}
			n++
			_, _ = fmt.Fprint(w, body())
			return true
		}
	}
	object := indicator(7, 7, "again.example")
	for _, tt := range []struct {
		name    string
		instead func(http.ResponseWriter, *http.Request) bool
		fails   string
		most    int // requests
	}{
		{"pages without end", pages(func() string { return fmt.Sprintf(`{"more":true,"next":"%d","objects":[]}`, n) }), "100 pages in a row have nothing that did not come before", 100},
		{"the same objects without end", pages(func() string { return fmt.Sprintf(`{"more":true,"next":%d,"objects":[%s]}`, n, object) }), "100 pages in a row have nothing", 101},
		{"the same page", pages(func() string { return `{"more":true,"next":"x","objects":[` + indicator(n+100, 1, "n.example") + `]}` }), "leads to a page that was read already", 2},
		{"nonsense", pages(func() string { return strings.Repeat("x", 40<<20) }), "a page of more than 33554432 bytes", 1},
		{"nonsense as JSON", pages(func() string { return `{"objects":[` + strings.Repeat(`{"a":1},`, 2<<20) + `1]}` }), "", 1},
		{"deep", pages(func() string { return `{"objects":[` + strings.Repeat(`[`, 1<<20) + `]}` }), "a page that is not of TAXII", 1},
		{"a long cursor", pages(func() string {
			return `{"more":true,"next":"` + strings.Repeat("x", 10_000) + `","objects":[` + object + `]}`
		}), "more than 8192", 1},
		{"no objects", pages(func() string { return `{"objects":[1,"x",null,[],{"type":"indicator","id":5}]}` }), "", 1},
		{"objects of other types", pages(func() string {
			return `{"objects":[{"type":"report"},{"custom-misp-page":"00000000","of":"x","cursor":"{}"}]}`
		}), "", 1},
	} {
		s := newTAXII(t)
		s.add(indicator(1, 1, "one.example"))
		x := newTAXIISite(t, s, "/taxii2/", "")
		x.want("first", "", "one.example")
		n = 0
		s.set(func() { s.instead = tt.instead })
		x.want(tt.name, tt.fails, "one.example")
		if n > tt.most {
			t.Errorf("%s: %d requests, want %d at most", tt.name, n, tt.most)
		}
		s.set(func() { s.instead = nil })
		x.now = x.now.Add(2 * time.Hour)
		s.set(func() { s.objects = nil })
		s.add(indicator(1, 2, "uno.example"))
		s.set(func() { s.objects[0].added = now.Add(time.Hour) })
		values, _, err := x.sync(t.Context(), false)
		if err != nil || !slices.Contains(values, "uno.example") || slices.Contains(values, "one.example") {
			t.Errorf("%s: well again: %v, %v", tt.name, values, err)
		}
	}
}

// TestTAXIIPreview looks at the first pages, and changes nothing.
func TestTAXIIPreview(t *testing.T) {
	t.Parallel()
	s := newTAXII(t)
	for i := range 40 {
		s.add(indicator(i, 1, fmt.Sprintf("h%d.example", i)))
	}
	x := newTAXIISite(t, s, "/api1/collections/"+collectionID+"/", "")
	dir := t.TempDir()
	form := load(t, x.declare)
	content, err := form.Origin(x.access).Fetch(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close() //nolint:errcheck // only read
	m, err := form.Measure(t.Context(), content, now)
	if err != nil || m.Report.Total() != 18 || m.Report.Format != source.FormatTAXII { // ten requests, the first for the collection
		t.Errorf("%+v, %v", m.Report, err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
