package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"custom-misp/engine/enrich"
)

// A named object is what the tests collect.
type named struct {
	Name string `json:"name"`
}

// measureNamed reads collected objects: the names in them.
func measureNamed(_ context.Context, file File, _ time.Time) (Measured, error) {
	var names measuredLines
	in := json.NewDecoder(io.NewSectionReader(file, 0, file.Size()))
	for {
		var o named
		err := in.Decode(&o)
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return nil, err
		}
		if o.Name != "" && !slices.Contains(names, o.Name) {
			names = append(names, o.Name)
		}
	}
}

// numbered collects objects from a server that has one a page, by the number of the page.
func numbered(ctx context.Context, c *Collection) error {
	n, _ := strconv.Atoi(c.Cursor("n"))
	for {
		page, err := c.Ask(ctx, fmt.Sprintf("%s?page=%d", c.Place(), n), nil)
		if err != nil {
			return err
		}
		if len(page.Body) == 0 {
			return nil
		}
		n++
		if err := c.Keep("n", strconv.Itoa(n), [][]byte{page.Body}); err != nil {
			return err
		}
	}
}

// pagesOf answers with one object for each page up to a number.
func pagesOf(n int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if page, _ := strconv.Atoi(r.URL.Query().Get("page")); page < n {
			_, _ = fmt.Fprintf(w, "{\n\"name\": \"h%d.example\"}", page)
		}
	}
}

// newCollectSite returns a source that is collected.
func newCollectSite(t *testing.T) *fetchSite {
	t.Helper()
	s := newFetchSite(t)
	s.file.Collect, s.file.CollectForm, s.file.Measure = numbered, "1", measureNamed
	return s
}

// TestCollect collects page by page, and asks only for what is new.
func TestCollect(t *testing.T) {
	t.Parallel()
	s := newCollectSite(t)
	first := s.sync("first", pagesOf(5), 5, "")
	if n := len(s.requests()); n != 6 || s.requests()[0].Get("Auth-Key") != "SECRET" {
		t.Errorf("%d requests, with %v", n, s.requests()[0])
	}
	same := s.sync("nothing new", pagesOf(5), 5, "")
	if n := len(s.requests()); n != 1 || same.Base != first.Base || !same.SyncedAt.Equal(s.now) {
		t.Errorf("%d requests, %+v", n, same)
	}
	s.sync("new", pagesOf(7), 7, "")
	s.file.CollectForm = "2"
	s.file.Form = "2"
	s.sync("something else", pagesOf(4), 4, "")
	if n := len(s.requests()); n != 5 {
		t.Errorf("%d requests", n)
	}
	if files, _ := filepath.Glob(filepath.Join(s.syncer.Dir, "names", "collect*")); len(files) != 1 {
		t.Errorf("files: %v", files)
	}
}

// TestCollectRefused keeps the set when what was collected is far less, until that is accepted; what was collected need not be
// collected again.
func TestCollectRefused(t *testing.T) {
	t.Parallel()
	s := newCollectSite(t)
	s.file.Shrink = 0.5
	s.sync("first", pagesOf(10), 10, "")
	s.file.CollectForm, s.file.Form = "2", "2"
	s.sync("fewer", pagesOf(2), 10, "refused: it has 2 indicators, and the copy before 10")
	s.syncer.Accept = true
	s.syncOrigin("accepted", s.origin(), pagesOf(2), true, 2, "")
	if n := len(s.requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// TestCollectBounds ends a sync with more than one may read, and has the next one go on.
func TestCollectBounds(t *testing.T) {
	t.Parallel()
	drip := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, " ")
			w.(http.Flusher).Flush() //nolint:forcetypeassert // it is one
			select {
			case <-r.Context().Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	for name, tt := range map[string]struct {
		limit  func(*limits)
		answer http.HandlerFunc
		fails  string
		then   int // names, after the next sync
	}{
		"pages":      {func(l *limits) { l.pages = 4 }, pagesOf(6), "more than 4 pages in one sync; the next sync goes on", 6},
		"all bytes":  {func(l *limits) { l.list = 400 }, pagesOf(60), "too long: more than 400 bytes of objects; collect less", 0},
		"a page":     {func(l *limits) { l.page = 10 }, pagesOf(6), "too long: a page of more than 10 bytes", 0},
		"a drip":     {func(l *limits) { l.pageTime = 200 * time.Millisecond }, drip, "a page took more than 200ms", 0},
		"no answer":  {func(l *limits) { l.pageTime = 200 * time.Millisecond }, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "a page took more than 200ms", 0},
		"no JSON":    {func(*limits) {}, sends(1), "invalid character", 0},
		"not packed": {func(*limits) {}, sends(1, "Content-Encoding", "gzip"), "gzip: invalid header", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newCollectSite(t)
			limited := func() *Declared {
				d := s.origin()
				tt.limit(&d.from.max)
				d.from.http.RetryMax = 0
				return d
			}
			state := s.syncOrigin(name, limited(), tt.answer, false, 0, tt.fails)
			if state.Failure == "" {
				t.Error("no failure")
			}
			if tt.then > 0 {
				s.syncOrigin("goes on", limited(), tt.answer, false, tt.then, "")
			}
		})
	}
}

// TestCollectBytes ends a sync that reads pages of nothing that is kept.
func TestCollectBytes(t *testing.T) {
	t.Parallel()
	s := newCollectSite(t)
	s.file.Collect = func(ctx context.Context, c *Collection) error {
		for {
			if _, err := c.Ask(ctx, c.Place(), nil); err != nil {
				return err
			}
		}
	}
	d := s.origin()
	d.from.max.list = 100
	s.syncOrigin("pages", d, pagesOf(1), false, 0, "too long: pages of more than 100 bytes in one sync")
	if n := len(s.requests()); n < 3 || n > 5 {
		t.Errorf("%d requests", n)
	}
}

// TestCollectElsewhere sends no key to another server, and none without TLS.
func TestCollectElsewhere(t *testing.T) {
	t.Parallel()
	s := newCollectSite(t)
	for _, address := range []string{"https://other.example/", strings.Replace(s.server.URL, "https", "http", 1), "https://u@" + strings.TrimPrefix(s.server.URL, "https://"), "%", ""} {
		s.file.Collect = func(ctx context.Context, c *Collection) error {
			_, err := c.Ask(ctx, address, nil)
			return err
		}
		s.sync(address, pagesOf(1), 0, "it leads to another server, which does not get the keys of this one")
		if len(s.requests()) > 0 {
			t.Errorf("%s was asked", address)
		}
	}
}

// TestCollectLog keeps what was complete, whatever happens to the file behind it or in it.
func TestCollectLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open := func(whole bool) *collectLog {
		t.Helper()
		l, err := openCollected(dir, "f", whole, begin)
		must(t, err)
		return l
	}
	l := open(false)
	for i := range 20 {
		must(t, l.page("n", strconv.Itoa(i+1), [][]byte{fmt.Appendf(nil, `{"name":"h%d.example"}`, i)}, 1<<20))
	}
	must(t, l.complete(begin))
	tag := l.tag()
	must(t, l.Close())
	again := open(false)
	if again.tag() != tag || again.Cursor() != "20" || filepath.Base(again.name) != collectedFile {
		t.Errorf("read again: %s, %s", again.tag(), again.Cursor())
	}
	must(t, again.Close())
	name := filepath.Join(dir, collectedFile)
	whole, err := os.ReadFile(name)
	must(t, err)
	chance := rand.New(rand.NewPCG(1, 1)) //nolint:gosec // to be repeated
	for range 300 {
		data := slices.Clone(whole)
		data[chance.IntN(len(data))] ^= byte(1 + chance.IntN(255))
		data = data[:chance.IntN(len(data)+1)]
		must(t, os.WriteFile(name, data, 0o600))
		l, err := openCollected(dir, "f", false, begin)
		if err != nil {
			if !strings.Contains(err.Error(), "reads up to 1") {
				t.Fatal(err)
			}
			continue
		}
		n, _ := strconv.Atoi(l.Cursor())
		measured, err := measureNamed(t.Context(), l, begin)
		if err != nil || measured.Total() != n {
			t.Fatalf("%d names, the cursor is %d, %v\n%s", measured.Total(), n, err, data)
		}
		must(t, l.Close())
		must(t, os.RemoveAll(filepath.Join(dir, collectingFile)))
	}
	must(t, os.WriteFile(name, []byte(" {\"custom-misp-collected\":2}\n"), 0o600))
	if _, err := openCollected(dir, "f", false, begin); !errors.Is(err, errNewer) {
		t.Errorf("a newer one: %v", err)
	}
}

// Cursor returns the only cursor of a log; empty for none.
func (l *collectLog) Cursor() string { return l.cursors["n"] }

// TestCollectWaits has an error about an answer say how long the server wants no request.
func TestCollectWaits(t *testing.T) {
	t.Parallel()
	s := newCollectSite(t)
	s.file.Collect = func(ctx context.Context, c *Collection) error {
		page, err := c.Ask(ctx, c.Place(), nil)
		if page.Status != http.StatusTooManyRequests {
			t.Errorf("status %d", page.Status)
		}
		return Waiting(c.Trouble(errors.New("not now"), "wait"), err)
	}
	state := s.sync("429", answers(http.StatusTooManyRequests, "Retry-After", "3600"), 0, "not now; wait")
	if !state.NotBefore.Equal(s.now.Add(time.Hour)) {
		t.Errorf("%+v", state)
	}
	if err := Waiting(errors.New("x"), &enrich.Trouble{Wait: 1}); err.Error() != "x" {
		t.Error(err)
	}
}

// FuzzCollectLog opens any bytes as what was collected: reading ends, and what follows is added.
func FuzzCollectLog(f *testing.F) {
	f.Add([]byte(" {\"custom-misp-collected\":1,\"form\":\"f\",\"began\":\"2026-01-01T00:00:00Z\"}\n{\"name\":\"a\"}\n {\"custom-misp-page\":\"00000000\",\"of\":\"n\",\"cursor\":\"1\"}\n"))
	f.Add([]byte(" {}\n\n {"))
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, collectedFile), content, 0o600))
		l, err := openCollected(dir, "f", false, begin)
		if err != nil {
			if !errors.Is(err, errNewer) {
				t.Fatal(err)
			}
			return
		}
		must(t, l.page("n", "x", [][]byte{[]byte(`{"name":"new.example"}`)}, 1<<30))
		must(t, l.complete(begin))
		tag := l.tag()
		must(t, l.Close())
		again, err := openCollected(dir, "f", false, begin)
		must(t, err)
		if again.tag() != tag || again.Cursor() != "x" {
			t.Errorf("%s, %q, want %s", again.tag(), again.Cursor(), tag)
		}
		must(t, again.Close())
	})
}
