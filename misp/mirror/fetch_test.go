package mirror

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"custom-misp/engine"
)

// A fetchSite is a server with TLS and one file, and a Syncer with a clock.
type fetchSite struct {
	t      *testing.T
	server *httptest.Server
	syncer *Syncer
	file   DeclaredFile
	now    time.Time

	mu     sync.Mutex
	answer http.HandlerFunc
	asked  []http.Header
}

func newFetchSite(t *testing.T) *fetchSite {
	t.Helper()
	s := &fetchSite{t: t, now: begin}
	s.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		answer := s.answer
		s.asked = append(s.asked, r.Header.Clone())
		s.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(s.server.Close)
	s.syncer = &Syncer{Dir: t.TempDir(), Now: func() time.Time { return s.now }}
	t.Cleanup(s.syncer.Close)
	s.file = DeclaredFile{Name: "names", Form: "1", Measure: measureLines, Access: Access{
		Place: s.server.URL + "/list", Headers: http.Header{"Auth-Key": {"SECRET"}}, CA: authority(s.server),
	}}
	return s
}

// authority is the certificate of a server with TLS, as a file has it.
func authority(s *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

// origin returns the source, which tries again without waiting.
func (s *fetchSite) origin() *Declared {
	d := NewDeclared(s.file)
	quick(d.from)
	d.from.http.HTTPClient.Transport.(*http.Transport).DisableKeepAlives = true //nolint:forcetypeassert // it is
	return d
}

// sync syncs, a minute later, with an answer, and checks how many names can be looked up then.
func (s *fetchSite) sync(what string, answer http.HandlerFunc, want int, fails string) State {
	s.t.Helper()
	return s.syncOrigin(what, s.origin(), answer, false, want, fails)
}

func (s *fetchSite) syncOrigin(what string, o Origin, answer http.HandlerFunc, full bool, want int, fails string) State {
	s.t.Helper()
	s.mu.Lock()
	s.answer, s.asked = answer, nil
	s.mu.Unlock()
	s.now = s.now.Add(time.Minute)
	state, err := s.syncer.Sync(s.t.Context(), o, full)
	if (err == nil) != (fails == "") || err != nil && !strings.Contains(err.Error(), fails) {
		s.t.Errorf("%s: error %v, want %q", what, err, fails)
	}
	if err != nil && strings.Contains(err.Error(), "SECRET") {
		s.t.Errorf("%s: the error has a secret: %v", what, err)
	}
	m := Open(s.syncer.Dir, []string{o.Name()}, engine.Filter{})
	defer m.Close()
	if found := len(allOf(s.t, m)); found != want {
		s.t.Errorf("%s: %d names, want %d", what, found, want)
	}
	return state
}

// requests returns the headers of the requests of the last sync.
func (s *fetchSite) requests() []http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// sends returns an answer with names, and the headers by which it is known again.
func sends(names int, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		_, _ = io.WriteString(w, namesTo(names))
	}
}

func answers(status int, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
	}
}

// TestFetchUnchanged asks whether a file has changed, by entity tag and by time. One that has not keeps the copy, which
// then is as fresh as if it had been sent.
func TestFetchUnchanged(t *testing.T) {
	t.Parallel()
	const date = "Mon, 02 Feb 2026 03:04:05 GMT"
	for name, tt := range map[string]struct {
		headers         []string
		match, modified string
	}{
		"both":       {[]string{"ETag", `"a"`, "Last-Modified", date}, `"a"`, date},
		"a weak tag": {[]string{"ETag", `W/"a"`}, `W/"a"`, ""},
		"the time":   {[]string{"Last-Modified", date}, "", date},
		"neither":    {nil, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFetchSite(t)
			s.sync("first", sends(3, tt.headers...), 3, "")
			if h := s.requests()[0]; h.Get("If-None-Match")+h.Get("If-Modified-Since") != "" || h.Get("Auth-Key") != "SECRET" {
				t.Errorf("first: %v", h)
			}
			s.sync("no connection", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 3, "EOF")
			fails := map[bool]string{true: "answered 304"}[tt.headers == nil]
			state := s.sync("unchanged", answers(http.StatusNotModified), 3, fails)
			if h := s.requests()[0]; h.Get("If-None-Match") != tt.match || h.Get("If-Modified-Since") != tt.modified {
				t.Errorf("unchanged: %v", h)
			}
			if fails == "" && (!state.SyncedAt.Equal(s.now) || state.Failure != "" || state.Failures != 0) {
				t.Errorf("not fresh: %+v", state)
			}
			s.sync("changed", sends(4, tt.headers...), 4, "")
			s.file.Form = "2"
			s.sync("declared otherwise", sends(4), 4, "")
			if h := s.requests()[0]; h.Get("If-None-Match")+h.Get("If-Modified-Since") != "" {
				t.Errorf("declared otherwise: %v", h)
			}
		})
	}
}

// TestFetchNotModifiedAtFirst takes no 304 for a file that was never read.
func TestFetchNotModifiedAtFirst(t *testing.T) {
	t.Parallel()
	s := newFetchSite(t)
	if state := s.sync("first", answers(http.StatusNotModified), 0, "answered 304"); !state.SyncedAt.IsZero() {
		t.Errorf("%+v", state)
	}
}

// TestFetchAuthority trusts the authority of a source, and no other for it.
func TestFetchAuthority(t *testing.T) {
	t.Parallel()
	s := newFetchSite(t)
	right := s.file.CA
	s.file.CA = nil
	s.sync("the system's", sends(1), 0, "name the authority of its certificate with ca_file")
	s.file.CA = []byte("no certificate")
	s.sync("none", sends(1), 0, "ca_file holds no certificate")
	s.file.CA = right
	s.sync("its own", sends(1), 1, "")
}

// TestFetchProxy goes through the proxy of a source, with the name and password in its address.
func TestFetchProxy(t *testing.T) {
	t.Parallel()
	s := newFetchSite(t)
	var mu sync.Mutex
	var through []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		through = append(through, r.Method+" "+r.Host+" "+r.Header.Get("Proxy-Authorization"))
		mu.Unlock()
		to, err := net.Dial("tcp", r.Host) //nolint:noctx // the proxy's own
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer to.Close() //nolint:errcheck // a test
		w.WriteHeader(http.StatusOK)
		from, buffered, err := w.(http.Hijacker).Hijack() //nolint:forcetypeassert // HTTP/1.1
		if err != nil {
			return
		}
		defer from.Close() //nolint:errcheck // a test
		go func() { _, _ = io.Copy(to, buffered) }()
		_, _ = io.Copy(from, to)
	}))
	defer proxy.Close()
	s.file.Proxy = strings.Replace(proxy.URL, "http://", "http://u:SECRET@", 1)
	s.sync("through the proxy", sends(2), 2, "")
	at, _ := url.Parse(s.server.URL)
	if want := "CONNECT " + at.Host + " Basic dTpTRUNSRVQ="; len(through) != 1 || through[0] != want {
		t.Errorf("the proxy was asked %q, want %q", through, want)
	}
	s.file.Proxy = "http://[SECRET"
	s.sync("no address", sends(2), 2, "proxy is no address")
	s.file.Proxy = NoProxy
	s.sync("none", sends(2), 2, "")
	if len(through) != 1 {
		t.Errorf("the proxy was asked %q", through)
	}
}

// A breaking answer is one of a large file that breaks off after a part, each time.
type breaking struct {
	content string
	part    int
	tag     string
	ranges  bool
	changed bool // after the first break
	broken  int
}

func (b *breaking) serve(w http.ResponseWriter, r *http.Request) {
	from := 0
	if b.broken > 0 && b.changed {
		b.content, b.tag = strings.ToUpper(b.content), `"other"`
	}
	w.Header().Set("ETag", b.tag)
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err == nil && b.ranges && r.Header.Get("If-Range") == b.tag {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(b.content)-1, len(b.content)))
		w.Header().Set("Content-Length", strconv.Itoa(len(b.content)-from))
		w.WriteHeader(http.StatusPartialContent)
	} else {
		from = 0
		w.Header().Set("Content-Length", strconv.Itoa(len(b.content)))
	}
	rest := b.content[from:]
	if len(rest) <= b.part {
		_, _ = io.WriteString(w, rest)
		return
	}
	_, _ = io.WriteString(w, rest[:b.part])
	w.(http.Flusher).Flush() //nolint:forcetypeassert // it is one
	b.broken++
	panic(http.ErrAbortHandler)
}

// TestFetchResumed asks for the rest of a large file that breaks off, if it is still the same, and as long as enough of it
// comes.
func TestFetchResumed(t *testing.T) {
	t.Parallel()
	const names = 20_000 // some 400 KiB
	whole := namesTo(names)
	for name, tt := range map[string]struct {
		breaking
		want   int
		fails  string
		broken int
	}{
		"twice":              {breaking{part: 150_000, tag: `"1"`, ranges: true}, names, "", len(whole) / 150_000},
		"never":              {breaking{part: len(whole), tag: `"1"`, ranges: true}, names, "", 0},
		"without a tag":      {breaking{part: 150_000, ranges: true}, 0, "unexpected EOF", 1},
		"with a weak tag":    {breaking{part: 150_000, tag: `W/"1"`, ranges: true}, 0, "unexpected EOF", 1},
		"changed":            {breaking{part: 150_000, tag: `"1"`, ranges: true, changed: true}, 0, "has changed meanwhile", 2},
		"sends it all again": {breaking{part: 150_000, tag: `"1"`}, 0, "has changed meanwhile, or the server sends it only as a whole", 2},
		"in drops":           {breaking{part: 10_000, tag: `"1"`, ranges: true}, 0, "unexpected EOF", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFetchSite(t)
			tt.content = whole
			s.sync(name, tt.serve, tt.want, tt.fails)
			if got := tt.breaking.broken; got < tt.broken || tt.fails != "" && got != tt.broken {
				t.Errorf("broke off %d times, want %d", tt.breaking.broken, tt.broken)
			}
			for _, h := range s.requests()[1:] {
				if h.Get("Range") == "" || h.Get("Auth-Key") != "SECRET" {
					t.Errorf("the rest was asked for with %v", h)
				}
			}
		})
	}
}

// TestFetchResumedEnough ends a download that breaks off again and again.
func TestFetchResumedEnough(t *testing.T) {
	t.Parallel()
	s := newFetchSite(t)
	b := &breaking{content: namesTo(120_000), part: 2 * leastResumed, tag: `"1"`, ranges: true}
	s.sync("again and again", b.serve, 0, "unexpected EOF")
	if b.broken != maxResumed+1 {
		t.Errorf("broke off %d times, want %d", b.broken, maxResumed+1)
	}
}

// TestFetchCompressed reads what is compressed on the way, also if it breaks off, and says so of what is not.
func TestFetchCompressed(t *testing.T) {
	t.Parallel()
	s := newFetchSite(t)
	var plain strings.Builder
	for i := range 60_000 { // names that cannot be compressed well
		fmt.Fprintf(&plain, "h%x.bad-cdn.example\n", uint64(i)*0x9e3779b97f4a7c15)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = io.WriteString(z, plain.String())
	_ = z.Close()
	b := &breaking{content: packed.String(), part: 150_000, tag: `"1"`, ranges: true}
	s.sync("compressed", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "gzip" {
			t.Errorf("asked for %q", r.Header.Get("Accept-Encoding"))
		}
		w.Header().Set("Content-Encoding", "gzip")
		b.serve(w, r)
	}, 60_000, "")
	if b.broken == 0 {
		t.Error("it did not break off")
	}
	s.sync("not compressed", sends(60_000, "Content-Encoding", "gzip"), 60_000, "not compressed as the server says")
}

// TestFetchRetryAfter asks a server for nothing before the time that it gives, counts failures, and plans the next try.
func TestFetchRetryAfter(t *testing.T) {
	t.Parallel()
	s := newFetchSite(t)
	s.syncer.Every = map[string]time.Duration{"names": 15 * time.Minute}
	s.sync("first", sends(3), 3, "")
	for i := range 12 {
		state := s.sync("fails", answers(http.StatusForbidden), 3, "answered 403 Forbidden; does it need a key")
		longest := min(firstRetry<<i, 15*time.Minute)
		if wait := state.RetryAt.Sub(s.now); state.Failures != i+1 || wait < longest/2 || wait > longest || !state.NotBefore.IsZero() {
			t.Errorf("failure %d: %d, tried again after %s, want %s at most, not before %s", i+1, state.Failures, wait, longest, state.NotBefore)
		}
	}
	state := s.sync("asks to wait", answers(http.StatusTooManyRequests, "Retry-After", "3600"), 3, "answered 429 Too Many Requests, and asks for no request in the next 1h0m0s; fetch it less often")
	until := s.now.Add(time.Hour)
	if !state.NotBefore.Equal(until) || !state.RetryAt.Equal(until) || state.Failures != 13 {
		t.Errorf("%+v", state)
	}
	if n := len(s.requests()); n != 1 {
		t.Errorf("asked %d times", n)
	}
	s.now = until.Add(-2 * time.Minute)
	state = s.sync("too early", sends(4), 3, "the server wants no request before, "+until.UTC().Format(time.RFC3339))
	if len(s.requests()) != 0 || state.Failures != 13 {
		t.Errorf("asked too early, %+v", state)
	}
	if d := s.syncer.Due(s.origin()); d != until.Sub(s.now) {
		t.Errorf("due in %s", d)
	}
	state = s.sync("in time", sends(4), 4, "")
	if state.Failures != 0 || !state.RetryAt.IsZero() || !state.NotBefore.IsZero() {
		t.Errorf("%+v", state)
	}
	s.sync("for years", answers(http.StatusServiceUnavailable, "Retry-After", "99999999"), 4, "answered 503")
	s.now = s.now.Add(longestAsked)
	s.sync("a day later", sends(5), 5, "")
	s.sync("again", answers(http.StatusTooManyRequests, "Retry-After", "3600"), 5, "answered 429")
	s.syncOrigin("asked for as a whole", s.origin(), sends(6), true, 6, "")
}

// TestDue syncs at once what was never synced, failed, was declared otherwise, or is a file, and other sources when their
// time has come.
func TestDue(t *testing.T) {
	t.Parallel()
	s := newFetchSite(t)
	s.syncer.Every = map[string]time.Duration{"names": time.Hour}
	due := func(what string, want time.Duration) {
		t.Helper()
		if got := s.syncer.Due(s.origin()); got != want {
			t.Errorf("%s: due in %s, want %s", what, got, want)
		}
	}
	due("never synced", 0)
	s.sync("first", sends(3, "ETag", `"1"`), 3, "")
	due("synced", time.Hour)
	s.now = s.now.Add(20 * time.Minute)
	due("later", 40*time.Minute)
	s.file.Form = "2"
	due("declared otherwise", 0)
	s.file.Form = "1"
	s.syncer.Close() // as when the process ends
	changeFile(t, filepath.Join(s.syncer.Dir, "names", s.syncerState().Base), func(data []byte) []byte { return data[:len(data)-1] })
	due("damaged", 0)
	s.sync("damaged", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		sends(3, "ETag", `"1"`)(w, r)
	}, 3, "")
	due("mended", time.Hour)
	s.now = s.now.Add(2 * time.Hour)
	due("too late", 0)
	s.now = begin.Add(-time.Hour)
	due("the clock was set back", 0)
	s.now = begin.Add(time.Hour)
	s.sync("fails", answers(http.StatusForbidden), 3, "answered 403")
	due("failed", 0)
	list := NewDeclared(DeclaredFile{Name: "file", Measure: measureLines, Access: Access{Place: file(t, "a.example\n")}})
	if _, err := s.syncer.Sync(t.Context(), list, false); err != nil || s.syncer.Due(list) != 0 {
		t.Errorf("a file is due in %s, %v", s.syncer.Due(list), err)
	}
}

// syncerState returns the state on disk.
func (s *fetchSite) syncerState() State {
	s.t.Helper()
	state, err := loadState(filepath.Join(s.syncer.Dir, "names"))
	must(s.t, err)
	return state
}

// changeFile changes what is in a file.
func changeFile(t *testing.T, name string, change func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(name)
	must(t, err)
	must(t, os.WriteFile(name, change(data), 0o600))
}

// TestFeedFirstCopy has the first events of a feed looked up before the last one has come, also if the sync ends in
// between, and reads none of them twice.
func TestFeedFirstCopy(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	events := map[string][]string{}
	for i := range 9 {
		events[fmt.Sprintf("a%d", i)] = []string{fmt.Sprintf("h%d.example", i)}
	}
	p.put(t, 1, events)
	events["b1"] = []string{"latest.example"}
	p.put(t, 2, events)
	feed := NewFeed("circl", p.URL+"/feed", "")
	quick(feed.from)
	c := newCopy(t, feed)
	ctx, cancel := context.WithCancel(t.Context())
	known := map[int]int{} // events asked for → attributes that can be looked up then
	asked := 0
	p.instead(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, manifestFile) {
			_, _ = io.WriteString(w, p.files[manifestFile])
			return
		}
		if asked++; asked == 1 && !strings.Contains(r.URL.Path, uuidOf("b1")) {
			t.Errorf("the first event is %s, not the latest", r.URL.Path)
		}
		m := Open(c.syncer.Dir, []string{"circl"}, engine.Filter{})
		defer m.Close()
		known[asked] = m.States()[0].Attributes
		if c.now = c.now.Add(4 * time.Second); asked == 8 {
			cancel() // as if it was killed
		}
		_, _ = io.WriteString(w, p.files[strings.TrimPrefix(r.URL.Path, "/feed/")])
	})
	if _, err := c.syncer.Sync(ctx, feed, false); err == nil {
		t.Error("a sync that was ended is complete")
	}
	if known[3] != 0 || known[4] != 3 || known[7] != 6 {
		t.Errorf("known after events: %v, want 3 after the third, and 6 after the sixth", known)
	}
	c.Refresh()
	state := c.States()[0]
	if state.Attributes != 6 || state.Walk.Read != 6 || state.Walk.Events != 10 || !state.SyncedAt.IsZero() {
		t.Errorf("in between: %+v", state)
	}
	delete(events, "b1") // one that was read is gone meanwhile
	p.put(t, 3, events)
	c.goesOn(t, p, events)
}

// goesOn has the first copy of a feed completed, without what was read before.
func (c *copyOf) goesOn(t *testing.T, p *provider, events map[string][]string) {
	t.Helper()
	var want []string
	for _, names := range events {
		want = append(want, names...)
	}
	slices.Sort(want)
	p.instead(nil)
	p.requests()
	state := c.want(t, "the rest", want...)
	if n := len(p.requests()); n != 5 { // the manifest, and four events
		t.Errorf("%d requests", n)
	}
	if state.Walk.Events != 0 || state.SyncedAt.IsZero() || state.Tag == "" || state.Failure != "" {
		t.Errorf("in the end: %+v", state)
	}
	c.want(t, "unchanged", want...)
	if got := p.requests(); len(got) != 1 || got[0] != "manifest.json 304" {
		t.Errorf("asked for %q", got)
	}
}

// TestFeedRateLimit keeps what was read of a feed when its server wants no further request, and goes on with the rest.
func TestFeedRateLimit(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	p.put(t, 1, map[string][]string{"a1": {"one.example"}, "a2": {"two.example"}, "a3": {"three.example"}, "a4": {"four.example"}, "a5": {"five.example"}})
	feed := NewFeed("circl", p.URL+"/feed", "")
	quick(feed.from)
	c := newCopy(t, feed)
	limited := func(after int) {
		asked := 0
		p.instead(func(w http.ResponseWriter, r *http.Request) {
			name := strings.TrimPrefix(r.URL.Path, "/feed/")
			if name != manifestFile {
				asked++
			}
			if asked > after {
				w.Header().Set("Retry-After", "120")
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			_, _ = io.WriteString(w, p.files[name])
		})
	}
	limited(3)
	values, state, err := c.sync(t)
	if err == nil || len(values) != 3 || state.NotBefore.IsZero() {
		t.Errorf("first copy: %v, %v, %+v", values, err, state)
	}
	c.now = c.now.Add(2 * time.Minute)
	limited(2)
	c.want(t, "the rest", "five.example", "four.example", "one.example", "three.example", "two.example")
	p.put(t, 2, map[string][]string{"a1": {"1.example"}, "a2": {"2.example"}, "a3": {"three.example"}, "a4": {"four.example"}, "a5": {"five.example"}})
	limited(1)
	if values, _, err := c.sync(t); err == nil || strings.Join(values, " ") != "1.example five.example four.example three.example two.example" {
		t.Errorf("changes: %v, %v", values, err)
	}
	c.now = c.now.Add(2 * time.Minute)
	limited(1)
	c.want(t, "the rest of the changes", "1.example", "2.example", "five.example", "four.example", "three.example")
}

// TestFeedAccess asks for a feed with the headers and the authority of its declaration.
func TestFeedAccess(t *testing.T) {
	t.Parallel()
	s := newFetchSite(t)
	feed := NewFeedAt("names", s.file.Access)
	quick(feed.from)
	s.syncOrigin("a feed", feed, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Auth-Key") != "SECRET" {
			t.Errorf("%s: %v", r.URL.Path, r.Header)
		}
		if strings.HasSuffix(r.URL.Path, manifestFile) {
			_, _ = fmt.Fprintf(w, `{%q:{"timestamp":1}}`, uuidOf("a1"))
			return
		}
		_, _ = fmt.Fprintf(w, `{"Event":{"uuid":%q,"info":"x","Attribute":[{"type":"domain","value":"one.example","to_ids":true}]}}`, uuidOf("a1"))
	}, false, 1, "")
}
