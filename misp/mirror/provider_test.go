package mirror

import (
	"encoding/json"
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
	c.syncer = newSyncer(t, t.TempDir(), func() time.Time { return c.now })
	c.Mirror = openMirror(t, c.syncer.Dir, o.Name())
	return c
}

// sync syncs, and returns the values that are known then.
func (c *copyOf) sync(t testing.TB) (values []string, state State, err error) {
	t.Helper()
	c.now = c.now.Add(time.Minute)
	state, err = c.syncer.Sync(t.Context(), c.origin, false)
	c.Refresh()
	values = []string{}
	for _, a := range allOf(t, c.Mirror) {
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
