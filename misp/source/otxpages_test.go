package source_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/misp/mirror"
)

// An otxServer gives pulses, one a page, that were changed since a time.
type otxServer struct {
	*httptest.Server
	pulses  []string // times and contents, in turn
	asked   []string
	instead func(w http.ResponseWriter, r *http.Request) bool
}

func newOTX(t *testing.T) *otxServer {
	t.Helper()
	s := &otxServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		s.asked = append(s.asked, q.Get("limit")+" "+q.Get("modified_since")+" "+q.Get("page"))
		if s.instead != nil && s.instead(w, r) {
			return
		}
		if r.Header.Get("X-OTX-API-KEY") != taxiiSecret {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		var found []string
		for i := 0; i < len(s.pulses); i += 2 {
			if s.pulses[i] > q.Get("modified_since") {
				found = append(found, s.pulses[i+1])
			}
		}
		page := 1
		_, _ = fmt.Sscan(q.Get("page"), &page)
		next := "null"
		if page < len(found) {
			q.Set("page", fmt.Sprint(page+1))
			next = fmt.Sprintf("%q", s.URL+r.URL.Path+"?"+q.Encode())
		}
		_, _ = fmt.Fprintf(w, `{"count":%d,"next":%s,"previous":null,"results":[%s]}`, len(found), next, strings.Join(found[min(page-1, len(found)):min(page, len(found))], ""))
	}))
	t.Cleanup(s.Close)
	return s
}

// put adds a version of a pulse, or replaces it.
func (s *otxServer) put(id, modified string, names ...string) {
	for i := 0; i < len(s.pulses); i += 2 {
		if strings.Contains(s.pulses[i+1], `"id":"`+id+`"`) {
			s.pulses = slices.Delete(s.pulses, i, i+2)
			break
		}
	}
	var indicators []string
	for _, n := range names {
		indicators = append(indicators, fmt.Sprintf(`{"indicator":%q,"type":"hostname","is_active":1}`, n))
	}
	s.pulses = append(s.pulses, modified, fmt.Sprintf(`{"id":%q,"name":"Pulse %s","modified":%q,"tags":["t"],"references":["https://blog.example/"],"indicators":[%s]}`, id, id, modified, strings.Join(indicators, ",")))
}

// otxSite returns a source of pulses with a mirror of its own.
func otxSite(t *testing.T, s *otxServer) *taxiiSite {
	t.Helper()
	at := s.URL + "/api/v1/pulses/subscribed"
	return &taxiiSite{
		t: t, dir: t.TempDir(), now: now, declare: "format: otx\nurl: " + at,
		access: mirror.Access{Place: at, Headers: http.Header{"X-Otx-Api-Key": {taxiiSecret}}, RetryWait: time.Millisecond},
	}
}

// TestOTXPages reads pulses page by page, then those alone that were changed: of these, what was there goes.
func TestOTXPages(t *testing.T) {
	t.Parallel()
	s := newOTX(t)
	s.put("p1", "2026-01-01T00:00:00.123000", "one.example", "uno.example")
	s.put("p2", "2026-01-03T00:00:00", "two.example")
	s.put("p3", "2026-01-02T00:00:00", "three.example")
	x := otxSite(t, s)
	x.want("first", "", "one.example", "three.example", "two.example", "uno.example")
	for _, a := range x.attributes() {
		if a.Value == "two.example" && (!strings.HasPrefix(a.Comment, "Pulse p2 https://otx.alienvault.com/pulse/p2") || strings.Join(a.Tags, "") != "t") {
			t.Errorf("%+v", a)
		}
	}
	s.put("p1", "2026-01-04T00:00:00", "one.example")
	s.asked = nil
	state := x.want("changed", "", "one.example", "three.example", "two.example")
	if d := cmp.Diff([]string{"50 2026-01-03T00:00:00 "}, s.asked); d != "" || state.FullAt.IsZero() {
		t.Errorf("changed (-want +got):\n%s", d)
	}
	x.want("nothing new", "", "one.example", "three.example", "two.example")
	x.access.Headers = http.Header{}
	x.want("no key", "answered 403 Forbidden; declare headers: {X-OTX-API-KEY: {file: PATH}}", "one.example", "three.example", "two.example")
}

// TestOTXHostile ends a walk over pages that leads nowhere, or elsewhere.
func TestOTXHostile(t *testing.T) {
	t.Parallel()
	n := 0
	for name, tt := range map[string]struct {
		body  func(at string) string
		fails string
	}{
		"elsewhere":   {func(string) string { return `{"next":"http://other.example/?page=2","results":[{"id":"a"}]}` }, "it leads to another server, which does not get the keys of this one"},
		"without end": {func(at string) string { n++; return fmt.Sprintf(`{"next":"%s?page=%d","results":[]}`, at, n) }, "100 pages in a row have nothing"},
		"itself": {func(at string) string {
			return `{"next":"` + at + `?page=2","results":[{"id":"` + fmt.Sprint(n) + `"}]}`
		}, "leads to a page that was read already"},
		"a page":   {func(string) string { return "<html>" }, "it is an HTML page"},
		"an error": {func(string) string { return `{"detail":"Authentication required"}` }, "there are no pulses in it; is url the address of pulses"},
		"cut":      {func(string) string { return `{"results":[{"id"` }, "no pulses of OTX"},
	} {
		s := newOTX(t)
		s.put("p1", "2026-01-01T00:00:00", "one.example")
		x := otxSite(t, s)
		x.want("first", "", "one.example")
		s.instead = func(w http.ResponseWriter, _ *http.Request) bool {
			_, _ = fmt.Fprint(w, tt.body(s.URL+"/api/v1/pulses/subscribed"))
			return true
		}
		s.asked = nil
		x.want(name, tt.fails, "one.example")
		if len(s.asked) > 102 {
			t.Errorf("%s: %d requests", name, len(s.asked))
		}
	}
}

// TestOTXOnePage reads a list of pulses, and one pulse, at an address.
func TestOTXOnePage(t *testing.T) {
	t.Parallel()
	s := newOTX(t)
	s.put("p1", "2026-01-01T00:00:00", "one.example")
	for _, body := range []string{s.pulses[1], "[" + s.pulses[1] + "]"} {
		s.instead = func(w http.ResponseWriter, _ *http.Request) bool {
			_, _ = fmt.Fprint(w, body)
			return true
		}
		x := otxSite(t, s)
		x.want("one page", "", "one.example")
		if all := x.attributes(); len(all) != 1 || !strings.HasPrefix(all[0].Comment, "Pulse p1") {
			t.Errorf("%+v", all)
		}
	}
}
