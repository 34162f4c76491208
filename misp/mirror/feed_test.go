package mirror

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
)

// provider is a feed's owner: files by name, which a test changes, served over HTTP with entity tags, and written to a
// directory.
type provider struct {
	*httptest.Server
	mu     sync.Mutex
	files  map[string]string
	asked  []string // names, with " 304" after those that were as they had been
	header http.Header
	answer http.HandlerFunc // instead, if not nil
}

func newProvider(t testing.TB) *provider {
	t.Helper()
	p := &provider{files: map[string]string{}}
	p.Server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(p.Close)
	return p
}

func (p *provider) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.header = r.Header.Clone()
	if p.answer != nil {
		p.answer(w, r)
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/feed/")
	content, ok := p.files[name]
	tag := fmt.Sprintf(`"%x"`, hashIndicator(engine.Indicator{Key: content}))
	switch {
	case !ok:
		p.asked = append(p.asked, name+" 404")
		http.NotFound(w, r)
	case r.Header.Get("If-None-Match") == tag:
		p.asked = append(p.asked, name+" 304")
		w.WriteHeader(http.StatusNotModified)
	default:
		p.asked = append(p.asked, name)
		w.Header().Set("ETag", tag)
		_, _ = w.Write([]byte(content))
	}
}

// requests returns what was asked for since the last call.
func (p *provider) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := p.asked
	p.asked = nil
	return asked
}

// put makes a feed of events: their short names, each with the domains that it holds; version is the time of all that
// were not there before with the same domains.
func (p *provider) put(t testing.TB, version int, events map[string][]string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	manifest := map[string]map[string]any{}
	_ = json.Unmarshal([]byte(p.files[manifestFile]), &manifest)
	for id := range manifest {
		if _, ok := events[strings.TrimPrefix(id, uuidOf(""))]; !ok {
			delete(manifest, id)
			delete(p.files, id+".json")
		}
	}
	for id, domains := range events {
		id = uuidOf(id)
		attributes := []map[string]any{}
		for _, d := range domains {
			attributes = append(attributes, map[string]any{"type": "domain", "value": d, "to_ids": true, "uuid": identify(id + d).String(), "timestamp": "1780000000"})
		}
		data, err := json.Marshal(map[string]any{"Event": map[string]any{"uuid": id, "info": "event " + id, "date": "2026-01-01", "Attribute": attributes, "Orgc": map[string]any{"name": "FEED"}}})
		must(t, err)
		if p.files[id+".json"] != string(data) {
			p.files[id+".json"] = string(data)
			manifest[id] = map[string]any{"info": "event", "timestamp": version}
		}
	}
	data, err := json.Marshal(manifest)
	must(t, err)
	p.files[manifestFile] = string(data)
}

func (p *provider) change(change func(files map[string]string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p.files)
}

func (p *provider) instead(answer http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
}

// write puts the files into a directory.
func (p *provider) write(t testing.TB, dir string, at time.Time) {
	t.Helper()
	must(t, os.RemoveAll(dir))
	must(t, os.Mkdir(dir, 0o700))
	for name, content := range p.files {
		name = filepath.Join(dir, name)
		must(t, os.WriteFile(name, []byte(content), 0o600))
		must(t, os.Chtimes(name, at, at))
	}
}

// copyOf is a mirror of one feed or list, and its clock.
type copyOf struct {
	*Mirror
	syncer *Syncer
	origin Origin
	now    time.Time
}

func newCopy(t testing.TB, o Origin) *copyOf {
	t.Helper()
	c := &copyOf{origin: o, now: begin}
	c.syncer = newSyncer(t.TempDir(), func() time.Time { return c.now })
	c.Mirror = Open(c.syncer.Dir, []string{o.Name()}, engine.Filter{})
	return c
}

// sync syncs, and returns the values that are known then.
func (c *copyOf) sync(t testing.TB) (values []string, state State, err error) {
	t.Helper()
	c.now = c.now.Add(time.Minute)
	state, err = c.syncer.Sync(t.Context(), c.origin, false)
	c.Refresh()
	values = []string{}
	for a := range c.All() {
		values = append(values, a.Value)
	}
	slices.Sort(values)
	if err == nil {
		counted(t, c.Mirror)
		onlySet(t, filepath.Join(c.syncer.Dir, c.origin.Name()))
		if d := cmp.Diff(state, c.States()[0]); d != "" {
			t.Errorf("state (-synced +read):\n%s", d)
		}
	}
	return values, state, err
}

func (c *copyOf) want(t testing.TB, what string, want ...string) State {
	t.Helper()
	values, state, err := c.sync(t)
	must(t, err)
	if want == nil {
		want = []string{}
	}
	if d := cmp.Diff(want, values); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
	return state
}

// quick has a place try again without waiting.
func quick(p place) {
	p.http.RetryWaitMin, p.http.RetryWaitMax = time.Millisecond, time.Millisecond
}

func TestFeed(t *testing.T) {
	p := newProvider(t)
	feed := NewFeed("circl", p.URL+"/feed", "custom-misp/test")
	c := newCopy(t, feed)
	p.put(t, 1, map[string][]string{"a1": {"one.example"}, "a2": {"two.example", "twotwo.example"}, "a3": {"three.example"}, "a4": {}, "a5": {"five.example"}})
	step := func(what string, asked []string, values ...string) State {
		t.Helper()
		p.requests()
		state := c.want(t, what, values...)
		got := p.requests()
		for i := range got {
			got[i] = strings.Replace(strings.TrimPrefix(got[i], uuidOf("")), ".json", "", 1)
		}
		if d := cmp.Diff(asked, got); d != "" {
			t.Errorf("%s: asked (-want +got):\n%s", what, d)
		}
		return state
	}
	all := []string{"five.example", "one.example", "three.example", "two.example", "twotwo.example"}
	first := step("first", []string{"manifest", "a1", "a2", "a3", "a4", "a5"}, all...)
	if first.Events != 5 || first.Kind != KindFeed || first.Place != p.URL+"/feed" || p.header.Get("User-Agent") != "custom-misp/test" {
		t.Errorf("state %+v, %v", first, p.header)
	}
	for a := range c.All() {
		want := enrich.Event{ID: a.Event.UUID, UUID: a.Event.UUID, Info: "event " + a.Event.UUID, Org: "FEED", Date: "2026-01-01", Published: true}
		if d := cmp.Diff(want, a.Event); d != "" || a.Origin != "circl" {
			t.Errorf("event of %s (-want +got):\n%s", a.Value, d)
		}
	}
	second := step("nothing new", []string{"manifest 304"}, all...)
	if second.Serial != first.Serial || !second.SyncedAt.Equal(c.now) {
		t.Errorf("state %+v", second)
	}
	p.change(func(files map[string]string) { files[manifestFile] += " " })
	step("another manifest with the same times", []string{"manifest"}, all...)

	p.put(t, 2, map[string][]string{"a1": {"one.example"}, "a2": {"two.example"}, "a3": {"three.example"}, "a4": {}, "a5": {"five.example"}})
	changed := step("one changed", []string{"manifest", "a2"}, "five.example", "one.example", "three.example", "two.example")
	if changed.Base != first.Base || changed.Changes == "" || changed.Events != 5 {
		t.Errorf("state %+v", changed)
	}
	p.put(t, 3, map[string][]string{"a1": {"one.example"}, "a2": {"two.example"}, "a4": {}, "a5": {"five.example"}})
	if state := step("one removed", []string{"manifest"}, "five.example", "one.example", "two.example"); state.Events != 4 {
		t.Errorf("state %+v", state)
	}
	p.put(t, 4, map[string][]string{"a1": {"one.example"}, "a2": {}, "a3": {"third.example"}, "a4": {}, "a5": {"five.example"}})
	step("one back, one empty", []string{"manifest", "a2", "a3"}, "five.example", "one.example", "third.example")
	p.put(t, 5, map[string][]string{"b1": {"b.example"}, "a2": {}, "b3": {"b3.example"}, "a4": {}, "b5": {}})
	if state := step("most changed: all is read", []string{"manifest", "a2", "a4", "b1", "b3", "b5"}, "b.example", "b3.example"); state.Changes != "" {
		t.Errorf("state %+v", state)
	}
	p.put(t, 6, map[string][]string{})
	step("all gone", []string{"manifest"})
}

// TestFeedMerge makes a new base of few changes: what tells the versions of events is kept, also of empty ones.
func TestFeedMerge(t *testing.T) {
	defer func(least int) { testOnlyLeastBase = least }(testOnlyLeastBase)
	testOnlyLeastBase = 0
	p := newProvider(t)
	c := newCopy(t, NewFeed("circl", p.URL+"/feed/", ""))
	p.put(t, 1, map[string][]string{"a1": {"one.example"}, "a2": {}, "a3": {"three.example"}, "a4": {}, "a5": {"five.example"}})
	first := c.want(t, "first", "five.example", "one.example", "three.example")
	p.put(t, 2, map[string][]string{"a1": {"one.example", "new.example"}, "a2": {}, "a4": {}, "a5": {"five.example"}})
	if state := c.want(t, "changed", "five.example", "new.example", "one.example"); state.Base == first.Base || state.Changes != "" || state.Events != 4 {
		t.Errorf("not merged: %+v", state)
	}
	p.requests()
	p.change(func(files map[string]string) { files[manifestFile] += " " })
	c.want(t, "as before", "five.example", "new.example", "one.example")
	if d := cmp.Diff([]string{manifestFile}, p.requests()); d != "" {
		t.Errorf("asked (-want +got):\n%s", d)
	}
}

// TestFeedDirectory reads a feed from a directory, and again only when its manifest is another file.
func TestFeedDirectory(t *testing.T) {
	p := newProvider(t)
	dir := filepath.Join(t.TempDir(), "feed")
	c := newCopy(t, NewFeed("local", dir, ""))
	if _, state, err := c.sync(t); err == nil || !strings.Contains(state.Failure, "is the path right?") || state.Place != dir {
		t.Errorf("without a directory: %v, %+v", err, state)
	}
	events := map[string][]string{"a1": {"one.example"}, "a2": {"two.example"}, "a3": {"three.example"}}
	p.put(t, 1, events)
	p.write(t, dir, begin)
	first := c.want(t, "first", "one.example", "three.example", "two.example")
	must(t, os.Remove(filepath.Join(dir, uuidOf("a1")+".json")))
	if state := c.want(t, "same manifest", "one.example", "three.example", "two.example"); state.Serial != first.Serial {
		t.Errorf("state %+v", state)
	}
	events["a1"] = []string{"other.example"}
	p.put(t, 2, events)
	p.write(t, dir, begin.Add(time.Second))
	c.want(t, "changed", "other.example", "three.example", "two.example")
}

// TestBrokenEvents leaves out what cannot be read, tells of it, keeps what it had of it, and tries again.
func TestBrokenEvents(t *testing.T) {
	defer func(most int64) { testOnlyMaxEvent = most }(testOnlyMaxEvent)
	testOnlyMaxEvent = 10_000
	p := newProvider(t)
	c := newCopy(t, NewFeed("circl", p.URL+"/feed", ""))
	good := map[string][]string{"a1": {"one.example"}, "a2": {"two.example"}, "a3": {"three.example"}, "a4": {"four.example"}, "a5": {"five.example"}}
	p.put(t, 1, good)
	name := func(id string) string { return uuidOf(id) + ".json" }
	p.change(func(files map[string]string) {
		files[name("a1")] = `{"Event":`
		files[name("a2")] = strings.Repeat(" ", 10_001)
		files[name("a5")] = `[]`
		delete(files, name("a4"))
	})
	state := c.want(t, "four broken", "three.example")
	if !strings.HasPrefix(state.Failure, "4 of 5 events not read, the first: "+p.URL+"/feed/"+name("a1")+": ") || !state.SyncedAt.Equal(state.FailedAt) {
		t.Errorf("state %+v", state)
	}
	state = c.want(t, "still broken", "three.example")
	if !strings.HasPrefix(state.Failure, "4 of 5 events not read") {
		t.Errorf("state %+v", state)
	}
	p.change(func(files map[string]string) {
		for id := range good {
			delete(files, name(id))
		}
	})
	p.put(t, 2, good)
	if state := c.want(t, "mended", "five.example", "four.example", "one.example", "three.example", "two.example"); state.Failure != "" || !state.FailedAt.IsZero() {
		t.Errorf("state %+v", state)
	}
	good["a1"] = []string{"uno.example"}
	p.put(t, 3, good)
	p.change(func(files map[string]string) { files[name("a1")] = "x" })
	c.want(t, "one that was good is broken", "five.example", "four.example", "one.example", "three.example", "two.example")
	// Attributes without a UUID are not taken for one another.
	p.change(func(files map[string]string) {
		files[name("a1")] = `{"Event":{"Attribute":[{"type":"domain","value":"x.example"},{"type":"domain","value":"y.example"}]}}`
	})
	c.want(t, "no UUIDs", "five.example", "four.example", "three.example", "two.example", "x.example", "y.example")
}

// TestFeedAway has the manifest, or an event, fail: the set stays what it was.
func TestFeedAway(t *testing.T) {
	defer func(most int64) { testOnlyMaxManifest = most }(testOnlyMaxManifest)
	testOnlyMaxManifest = 100_000
	p := newProvider(t)
	feed := NewFeed("circl", strings.Replace(p.URL, "http://", "http://user:secret@", 1)+"/feed?key=secret", "")
	quick(feed.from)
	c := newCopy(t, feed)
	events := map[string][]string{"a1": {"one.example"}, "a2": {"two.example"}, "a3": {"three.example"}}
	p.put(t, 1, events)
	before := c.want(t, "first", "one.example", "three.example", "two.example")
	if auth := p.header.Get("Authorization"); !strings.HasPrefix(auth, "Basic ") {
		t.Errorf("authorization %q", auth)
	}
	if strings.Contains(before.Place, "secret") || before.Place != p.URL+"/feed" {
		t.Errorf("place %s", before.Place)
	}
	only := func(name string, answer http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, name) {
				answer(w, r)
				return
			}
			_, _ = w.Write([]byte(p.files[strings.TrimPrefix(r.URL.Path, "/feed/")]))
		}
	}
	events["a2"] = []string{"zwei.example"}
	p.put(t, 2, events)
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		says   string
	}{
		{"500", only("manifest", text(500, "text/plain", "no")), "answered 500 Internal Server Error"},
		{"404", only("manifest", text(404, "text/plain", "no")), "answered 404 Not Found; is the address right?"},
		{"403", only("manifest", text(403, "text/plain", "no")), "answered 403 Forbidden"},
		{"HTML", only("manifest", text(200, "text/html", "<html>")), "invalid character '<'"},
		{"list", only("manifest", text(200, "application/json", "[]")), "is this a directory in MISP feed format?"},
		{"too long", only("manifest", text(200, "application/json", strings.Repeat(" ", 100_001))), "too long: more than 100000 bytes"},
		{"wrong name", only("manifest", text(200, "application/json", `{"../x":{}}`)), `"../x" is not the UUID of an event`},
		{"lost connection", only("manifest", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), "EOF"},
		{"event with 500", only(uuidOf("a2"), text(500, "text/plain", "no")), uuidOf("a2") + ".json: answered 500"},
		{"half an event", only(uuidOf("a2"), func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(`{"Event"`))
		}), uuidOf("a2") + ".json: unexpected EOF"},
		{"round and round", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.String(), http.StatusFound) }, "stopped after 10 redirects"},
	} {
		p.instead(tt.answer)
		values, state, err := c.sync(t)
		if err == nil || !strings.Contains(err.Error(), tt.says) || !strings.Contains(state.Failure, tt.says) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if trouble, ok := errors.AsType[*enrich.Trouble](err); !ok || trouble.Code != enrich.CodeFeed || trouble.Remedy == "" {
			t.Errorf("%s: no trouble with a remedy: %v", tt.name, err)
		}
		if strings.Contains(fmt.Sprint(err, state), "secret") {
			t.Errorf("%s: a key in %v, %+v", tt.name, err, state)
		}
		if len(values) != 3 || !slices.Contains(values, "two.example") || state.Serial != before.Serial || !state.SyncedAt.Equal(before.SyncedAt) {
			t.Errorf("%s: %v, %+v", tt.name, values, state)
		}
	}
	p.instead(nil)
	if state := c.want(t, "in the end", "one.example", "three.example", "zwei.example"); state.Failure != "" {
		t.Errorf("state %+v", state)
	}
}

// TestRedirects follows redirects without telling the other server where from, but not away from TLS.
func TestRedirects(t *testing.T) {
	p, other := newProvider(t), newProvider(t)
	other.put(t, 1, map[string][]string{"a1": {"one.example"}})
	p.instead(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusMovedPermanently)
	})
	c := newCopy(t, NewFeed("circl", p.URL+"/feed?key=secret", ""))
	c.want(t, "elsewhere", "one.example")
	if got := other.header.Get("Referer"); got != "" {
		t.Errorf("told %q", got)
	}
	safe := httptest.NewTLSServer(p.Config.Handler)
	t.Cleanup(safe.Close)
	feed := NewFeed("safe", safe.URL+"/feed", "")
	quick(feed.from)
	feed.from.http.HTTPClient.Transport = safe.Client().Transport
	if _, _, err := newCopy(t, feed).sync(t); err == nil || !strings.Contains(err.Error(), "an address without TLS") {
		t.Errorf("away from TLS: %v", err)
	}
}

// TestBadAddress has addresses that are none: errors are without what may be a key.
func TestBadAddress(t *testing.T) {
	for _, at := range []string{"https://feed.example/secret\x7f?key=secret", "https://user:sec%ret@feed.example/", "http://host:secret/x"} {
		for _, o := range []Origin{NewFeed("f", at, ""), NewList("l", at, "")} {
			_, state, err := newCopy(t, o).sync(t)
			if err == nil || strings.Contains(fmt.Sprint(err, state), "sec") || !strings.Contains(err.Error(), "is the address right?") {
				t.Errorf("%q: %v, %+v", at, err, state)
			}
		}
	}
}
