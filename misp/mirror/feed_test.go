package mirror

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine/enrich"
	"custom-misp/misp"
)

func TestFeed(t *testing.T) {
	t.Parallel()
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
	for _, a := range allOf(t, c.Mirror) {
		want := misp.Event{ID: a.Event.UUID, UUID: a.Event.UUID, Info: "event " + a.Event.UUID, Org: "FEED", Date: "2026-01-01", Published: true}
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

// TestFeedMerge makes a new base of few changes: the versions of events are kept, also of empty ones.
func TestFeedMerge(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	c := newCopy(t, NewFeed("circl", p.URL+"/feed/", ""))
	c.syncer.testOnlyLeastBase = -1
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
	t.Parallel()
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

// TestBrokenEvents leaves out what cannot be read, reports it, keeps what it had of it, and tries again.
func TestBrokenEvents(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	feed := NewFeed("circl", p.URL+"/feed", "")
	feed.from.max.event = 10_000
	c := newCopy(t, feed)
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
	if state := c.want(t, "repaired", "five.example", "four.example", "one.example", "three.example", "two.example"); state.Failure != "" || !state.FailedAt.IsZero() {
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

// TestFeedUnreachable has the manifest, or an event, fail: the set stays what it was.
func TestFeedUnreachable(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	feed := NewFeed("circl", strings.Replace(p.URL, "http://", "http://user:secret@", 1)+"/feed?key=secret", "")
	quick(feed.from)
	feed.from.max.manifest = 100_000
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

// TestFeedWithoutAnEvent loads a feed without an event that its server does not give, and keeps the version that was there.
func TestFeedWithoutAnEvent(t *testing.T) {
	t.Parallel()
	for _, status := range []int{403, 404, 500} {
		p := newProvider(t)
		feed := NewFeed("circl", p.URL+"/feed", "")
		quick(feed.from)
		c := newCopy(t, feed)
		events := map[string][]string{"a1": {"one.example"}, "a2": {"two.example"}, "a3": {"three.example"}}
		p.put(t, 1, events)
		p.instead(func(w http.ResponseWriter, r *http.Request) {
			if !strings.Contains(r.URL.Path, "manifest") {
				text(status, "text/plain", "no")(w, r)
				return
			}
			_, _ = w.Write([]byte(p.files["manifest.json"]))
		})
		if values, _, err := c.sync(t); err == nil || len(values) > 0 || !strings.Contains(err.Error(), "none of its 3 events can be read") {
			t.Errorf("%d for all: %v, %v", status, values, err)
		}
		p.instead(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, uuidOf("a2")) {
				text(status, "text/plain", "no")(w, r)
				return
			}
			_, _ = w.Write([]byte(p.files[strings.TrimPrefix(r.URL.Path, "/feed/")]))
		})
		if state := c.want(t, "without one", "one.example", "three.example"); !strings.Contains(state.Failure, "1 of 3 events not read") {
			t.Errorf("%d: %+v", status, state)
		}
		p.instead(nil)
		c.want(t, "in the end", "one.example", "three.example", "two.example")
	}
}

// TestRedirects follows redirects without a Referer, but not from TLS to plain HTTP.
func TestRedirects(t *testing.T) {
	t.Parallel()
	p, other := newProvider(t), newProvider(t)
	other.put(t, 1, map[string][]string{"a1": {"one.example"}})
	p.instead(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusMovedPermanently)
	})
	c := newCopy(t, NewFeed("circl", p.URL+"/feed?key=secret", ""))
	c.want(t, "elsewhere", "one.example")
	if got := other.header.Get("Referer"); got != "" {
		t.Errorf("Referer %q", got)
	}
	safe := httptest.NewTLSServer(p.Config.Handler)
	t.Cleanup(safe.Close)
	feed := NewFeed("safe", safe.URL+"/feed", "")
	quick(feed.from)
	feed.from.http.HTTPClient.Transport = safe.Client().Transport
	if _, _, err := newCopy(t, feed).sync(t); err == nil || !strings.Contains(err.Error(), "an address without TLS") {
		t.Errorf("from TLS to plain HTTP: %v", err)
	}
}

// TestBadAddress has texts that are not addresses: errors are without what may be a key.
func TestBadAddress(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"https://feed.example/secret\x7f?key=secret", "https://user:sec%ret@feed.example/", "http://host:secret/x"} {
		for _, o := range []Origin{NewFeed("f", at, ""), NewList("l", at, "")} {
			_, state, err := newCopy(t, o).sync(t)
			if err == nil || strings.Contains(fmt.Sprint(err, state), "sec") || !strings.Contains(err.Error(), "is the address right?") {
				t.Errorf("%q: %v, %+v", at, err, state)
			}
		}
	}
}
