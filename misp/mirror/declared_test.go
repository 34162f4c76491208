package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"custom-misp/engine"
	"custom-misp/misp"
)

// measuredLines is a file with a host name a line; a line that begins with ! makes it one to refuse.
type measuredLines []string

func (m measuredLines) Total() int { return len(m) }

func (m measuredLines) Failure() string { return "" }

func (m measuredLines) Each(_ context.Context, do func(misp.Attribute) error) error {
	for _, name := range m {
		if err := do(misp.Attribute{Type: "hostname", Value: name, ToIDs: true, Comment: "c"}); err != nil {
			return err
		}
	}
	return nil
}

func measureLines(_ context.Context, file File, _ time.Time) (Measured, error) {
	data, err := io.ReadAll(io.NewSectionReader(file, 0, file.Size()))
	if err != nil {
		return nil, err
	}
	names := strings.Fields(string(data))
	if len(names) == 0 || strings.HasPrefix(names[0], "!") {
		return nil, errors.New("no indicator")
	}
	return measuredLines(names), nil
}

func namesTo(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "h%d.bad-cdn.example\n", i)
	}
	return b.String()
}

// A declaredSite is a server with one file, and a Syncer for it.
type declaredSite struct {
	t       *testing.T
	content string
	status  int
	header  http.Header // of the last request
	server  *httptest.Server
	syncer  *Syncer
	file    DeclaredFile
}

func newDeclaredSite(t *testing.T) *declaredSite {
	t.Helper()
	s := &declaredSite{t: t, status: http.StatusOK}
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.header = r.Header
		w.WriteHeader(s.status)
		_, _ = io.WriteString(w, s.content)
	}))
	t.Cleanup(s.server.Close)
	s.syncer = &Syncer{Dir: t.TempDir()}
	t.Cleanup(s.syncer.Close)
	s.file = DeclaredFile{
		Name: "names", Access: Access{Place: s.server.URL + "/SECRET/list", Shown: "http://masked/…/list", Headers: http.Header{"Auth-Key": {"k"}}, UserAgent: "test"},
		Shrink: 0.5, Form: "1", Measure: measureLines,
	}
	return s
}

// sync syncs and checks how many names can be looked up then.
func (s *declaredSite) sync(content string, want int, fails string) State {
	s.t.Helper()
	s.content = content
	state, err := s.syncer.Sync(s.t.Context(), NewDeclared(s.file), false)
	if (err == nil) != (fails == "") || err != nil && !strings.Contains(err.Error(), fails) {
		s.t.Errorf("%.20q: error %v, want %q", content, err, fails)
	}
	if err != nil && (strings.Contains(err.Error(), "SECRET") || !strings.Contains(err.Error(), "http://masked/…/list")) {
		s.t.Errorf("the error has a secret, or no place: %v", err)
	}
	m := Open(s.syncer.Dir, []string{"names"}, engine.Filter{})
	defer m.Close()
	found := 0
	for a, err := range m.All() {
		if err != nil {
			s.t.Fatal(err)
		}
		if found++; a.Origin != "names" || a.Event.Info != "source names" || !a.Event.Published || a.UUID == "" {
			s.t.Errorf("%+v", a)
		}
	}
	if found != want {
		s.t.Errorf("%.20q: %d names, want %d", content, found, want)
	}
	return state
}

// TestDeclared keeps the copy that was there when a new one is no good, or much smaller.
func TestDeclared(t *testing.T) {
	t.Parallel()
	s := newDeclaredSite(t)
	s.sync("", 0, "no indicator")
	s.sync(namesTo(100), 100, "")
	if s.header.Get("Auth-Key") != "k" || s.header.Get("User-Agent") != "test" {
		t.Errorf("%v", s.header)
	}
	s.sync("! a page", 100, "no indicator")
	s.sync("", 100, "no indicator")
	s.status = http.StatusForbidden
	s.sync(namesTo(100), 100, "answered 403")
	s.status = http.StatusOK
	s.sync(namesTo(50), 50, "")
	state := s.sync(namesTo(24), 50, "refused: it has 24 indicators, and the copy before 50")
	if state.Failure == "" || state.FailedAt.IsZero() || strings.Contains(state.Failure, "SECRET") || state.Place != "http://masked/…/list" {
		t.Errorf("%+v", state)
	}
	s.sync(namesTo(20), 50, "refused") // another one
	state = s.sync(namesTo(20), 20, "")
	if state.Failure != "" || state.Refused != 0 || state.Indicators != 20 || state.Kind != KindSource {
		t.Errorf("%+v", state)
	}
	s.file.Shrink = 0
	s.sync(namesTo(1), 1, "")
	if files, _ := filepath.Glob(filepath.Join(s.syncer.Dir, "names", "fetched-*")); len(files) > 0 {
		t.Errorf("left behind: %v", files)
	}
}

// TestDeclaredAccepted takes a smaller copy that an administrator accepts.
func TestDeclaredAccepted(t *testing.T) {
	t.Parallel()
	s := newDeclaredSite(t)
	s.sync(namesTo(100), 100, "")
	s.sync(namesTo(2), 100, "refused")
	accepting := &Syncer{Dir: s.syncer.Dir, Accept: true}
	defer accepting.Close()
	if _, err := accepting.Sync(t.Context(), NewDeclared(s.file), true); err != nil {
		t.Fatal(err)
	}
	s.sync(namesTo(2), 2, "")
}

// TestDeclaredPath reads a file only when it, or its declaration, has changed.
func TestDeclaredPath(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(name, []byte(namesTo(3)), 0o600); err != nil {
		t.Fatal(err)
	}
	reads := 0
	f := DeclaredFile{Name: "names", Access: Access{Place: name, Shown: name}, Form: "1", Measure: func(ctx context.Context, file File, now time.Time) (Measured, error) {
		reads++
		return measureLines(ctx, file, now)
	}}
	y := &Syncer{Dir: t.TempDir()}
	defer y.Close()
	for _, form := range []string{"1", "1", "2", "2"} {
		f.Form = form
		if _, err := y.Sync(t.Context(), NewDeclared(f), false); err != nil {
			t.Fatal(err)
		}
	}
	if reads != 2 {
		t.Errorf("the file was read %d times", reads)
	}
}

// TestRedirectWithoutKey sends the headers of a source to no other host.
func TestRedirectWithoutKey(t *testing.T) {
	t.Parallel()
	var got http.Header
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		_, _ = io.WriteString(w, namesTo(1))
	}))
	defer other.Close()
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, strings.Replace(other.URL, "127.0.0.1", "localhost", 1), http.StatusFound)
	}))
	defer first.Close()
	y := &Syncer{Dir: t.TempDir()}
	defer y.Close()
	if _, err := y.Sync(t.Context(), NewDeclared(DeclaredFile{
		Name: "names", Access: Access{Place: first.URL, Shown: "x", Headers: http.Header{"Auth-Key": {"k"}, "X-Otx-Api-Key": {"k"}}}, Measure: measureLines,
	}), false); err != nil {
		t.Fatal(err)
	}
	if got.Get("Auth-Key") != "" || got.Get("X-OTX-API-KEY") != "" {
		t.Errorf("the other host got %v", got)
	}
}

// TestFeedWithoutManifest reads the events of a directory that has no manifest, and sees when they change and go.
func TestFeedWithoutManifest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(id, value string) {
		content := `{"Event":{"uuid":"` + uuidOf(id) + `","info":"x","published":true,"Attribute":[{"type":"domain","value":"` + value + `","to_ids":true}]}}`
		if err := os.WriteFile(filepath.Join(dir, uuidOf(id)+".json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := newCopy(t, NewFeed("directory", dir, ""))
	if _, _, err := c.sync(t); err == nil || !strings.Contains(err.Error(), "manifest.json") {
		t.Errorf("an empty directory: %v", err)
	}
	write("a1", "one.example")
	write("a2", "two.example")
	if err := os.WriteFile(filepath.Join(dir, "other.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if state := c.want(t, "two events", "one.example", "two.example"); !strings.Contains(state.Partial, "no manifest.json") || state.Failure != "" {
		t.Errorf("%+v", state)
	}
	write("a2", "second.example")
	c.want(t, "one has changed", "one.example", "second.example")
	if err := os.Remove(filepath.Join(dir, uuidOf("a1")+".json")); err != nil {
		t.Fatal(err)
	}
	c.want(t, "one is gone", "second.example")
}
