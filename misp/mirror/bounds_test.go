package mirror

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/atomicfile"
	"custom-misp/engine/enrich"
	"custom-misp/misp"
	"custom-misp/misp/misptest"
)

// steps is a context whose time is over after it was looked at so many times.
type steps struct {
	context.Context
	left int
}

// Err implements context.Context.
func (s *steps) Err() error {
	if s.left--; s.left < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

// blockers put something in the place of a file that no one should wait for, or read.
var blockers = map[string]blocker{
	"pipe":      {func(t *testing.T, name string) { must(t, syscall.Mkfifo(name, 0o600)) }, "not a regular file"},
	"directory": {func(t *testing.T, name string) { must(t, os.Mkdir(name, 0o700)) }, ""},
	"device":    {func(t *testing.T, name string) { must(t, os.Symlink("/dev/zero", name)) }, "not a "},
	"sparse file of 12 GB": {func(t *testing.T, name string) {
		must(t, os.WriteFile(name, nil, 0o600))
		must(t, os.Truncate(name, 12<<30))
	}, ""},
}

// inTime fails the test if f takes long. It says so while f still waits.
func inTime(t *testing.T, what string, f func()) {
	t.Helper()
	late := time.AfterFunc(20*time.Second, func() { panic(what + " waits") })
	defer late.Stop()
	before := allocated()
	f()
	if used := allocated() - before; used > 64<<20 {
		t.Errorf("%s: %d bytes of memory", what, used)
	}
}

// allocated returns how much memory was ever allocated, in bytes.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// TestFilesThatBlock has a pipe, a directory, a device or a huge file in the place of each file of a mirror: nothing
// waits for it, or reads it in.
func TestFilesThatBlock(t *testing.T) { // not parallel: it measures memory
	for kind, blocker := range blockers {
		for file, syncs := range map[string]blockedFile{
			"state.json": {fails: "state.json"},
			"lock":       {fails: "lock", reads: true},
			"base":       {},
			"changes":    {},
		} {
			if file == "lock" && kind == "sparse file of 12 GB" {
				continue // as good as any other: it is not read
			}
			syncs.test(t, kind+" for "+file, file, blocker)
		}
	}
}

// TestLockIsNoLink has a link in the place of a lock that leads to no file: none is made there.
func TestLockIsNoLink(t *testing.T) {
	t.Parallel()
	dir, target := t.TempDir(), filepath.Join(t.TempDir(), "target")
	must(t, os.Symlink(target, filepath.Join(dir, lockFile)))
	w, err := openWriter(t.Context(), dir, time.Now, nil)
	if err == nil {
		_ = w.close()
	}
	if !errors.Is(err, atomicfile.ErrNotState) {
		t.Errorf("%v, want %v", err, atomicfile.ErrNotState)
	}
	if _, err := os.Lstat(target); err == nil {
		t.Error("the file that the link leads to was made")
	}
}

// blocker is something that stands where a file should be.
type blocker struct {
	put  func(t *testing.T, name string)
	says string // of a file of any kind
}

// blockedFile says what comes of a file of a mirror that is blocked.
type blockedFile struct {
	fails string // what the next sync says; empty if it mends the mirror
	reads bool   // a look-up finds what was there
}

func (b blockedFile) test(t *testing.T, what, file string, blocker blocker) {
	t.Helper()
	p := newProvider(t)
	c := newCopy(t, NewFeed("circl", p.URL+"/feed/", ""))
	p.put(t, 1, map[string][]string{"a1": {"one.example"}, "a2": {"two.example"}, "a3": {}, "a4": {}, "a5": {}})
	c.want(t, what, "one.example", "two.example")
	p.put(t, 2, map[string][]string{"a1": {"uno.example"}, "a2": {"two.example"}, "a3": {}, "a4": {}, "a5": {}})
	state := c.want(t, what, "two.example", "uno.example")
	dir := filepath.Join(c.syncer.Dir, "circl")
	name := map[string]string{"base": state.Base, "changes": state.Changes}[file]
	if name == "" {
		name = file
	}
	must(t, os.Remove(filepath.Join(dir, name)))
	blocker.put(t, filepath.Join(dir, name))

	inTime(t, what+", reader", func() {
		m := openMirror(t, c.syncer.Dir, "circl")
		matches, err := m.Lookup(t.Context(), []engine.Observable{{Type: "domain", Value: "two.example"}})
		if found := err == nil && len(matches) == 1; found != b.reads {
			t.Errorf("%s: %d matches, %v", what, len(matches), err)
		}
		if err == nil != b.reads || err != nil && blocker.says != "" && !strings.Contains(err.Error(), blocker.says) {
			t.Errorf("%s: %v", what, err)
		}
		m.States()
	})
	inTime(t, what+", sync", func() {
		syncer := newSyncer(t, c.syncer.Dir, func() time.Time { return c.now })
		_, err := syncer.Sync(t.Context(), c.origin, false)
		switch {
		case b.fails == "" && err != nil:
			t.Errorf("%s: %v", what, err)
		case b.fails != "" && (err == nil || !strings.Contains(err.Error(), b.fails)):
			t.Errorf("%s: %v", what, err)
		case b.fails != "" && blocker.says != "" && !strings.Contains(err.Error(), blocker.says):
			t.Errorf("%s: %v", what, err)
		}
	})
}

// TestSourcesThatBlock has the same in the place of a list, and of the files of a feed.
func TestSourcesThatBlock(t *testing.T) { // not parallel: it measures memory
	for kind, blocker := range blockers {
		at := filepath.Join(t.TempDir(), "list")
		blocker.put(t, at)
		inTime(t, kind+" for a list", func() {
			_, state, err := newCopy(t, NewList("mine", at, "")).sync(t)
			if err == nil || state.Failure == "" || !strings.Contains(err.Error(), blocker.says) || !strings.Contains(err.Error(), at) {
				t.Errorf("%s for a list: %v", kind, err)
			}
		})
		for _, file := range []string{manifestFile, uuidOf("a1") + ".json"} {
			p := newProvider(t)
			p.put(t, 1, map[string][]string{"a1": {"one.example"}, "a2": {"two.example"}})
			dir := filepath.Join(t.TempDir(), "feed")
			p.write(t, dir, begin)
			must(t, os.Remove(filepath.Join(dir, file)))
			blocker.put(t, filepath.Join(dir, file))
			inTime(t, kind+" for "+file, func() {
				values, state, err := newCopy(t, NewFeed("local", dir, "")).sync(t)
				if (err == nil) != (file != manifestFile) || !strings.Contains(state.Failure, blocker.says) || state.Failure == "" {
					t.Errorf("%s for %s: %v, %s", kind, file, err, state.Failure)
				}
				if err == nil && !slices.Equal(values, []string{"two.example"}) {
					t.Errorf("%s for %s: %v", kind, file, values)
				}
			})
		}
	}
}

// TestListBounds refuses a list that is more than a mirror should take, and keeps what it had.
func TestListBounds(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	list := NewList("mine", p.URL+"/feed/list", "")
	list.from.max.values = 3
	c := newCopy(t, list)
	p.change(func(files map[string]string) { files["list"] = "a.example\nb.example\nc.example\n" })
	c.want(t, "as many as there may be", "a.example", "b.example", "c.example")
	for name, tt := range map[string]struct{ content, says string }{
		"values":     {"a.example\nb.example\nc.example\nd.example\n", "too long: more than 3 values; split it, or leave old values out"},
		"columns":    {"a.example" + strings.Repeat(",", maxColumns) + "\n", "line 1 has too many columns: more than 1000; is it a list"},
		"only ends":  {strings.Repeat(";", maxRow/2) + "x\n", "line 1 has too many columns: more than 1000"},
		"only lines": {strings.Repeat("\n", 3*maxRow), "does not end within"},
	} {
		p.change(func(files map[string]string) { files["list"] = tt.content })
		values, state, err := c.sync(t)
		if err == nil || !strings.Contains(err.Error(), tt.says) || !strings.Contains(state.Failure, tt.says) || len(values) != 3 {
			t.Errorf("%s: %v, %v", name, values, err)
		}
	}
	p.change(func(files map[string]string) {
		files["list"] = "value,tags\na.example," + strings.Repeat("x y ", 1000) + strings.Join(strings.Fields(fmt.Sprint(make([]int, 600))), " t") + " tlp:red\n"
	})
	c.want(t, "tags", "a.example")
	if got := matched(c.Mirror, engine.Observable{Type: "domain", Value: "a.example"}); len(got) != 1 || len(got[0].Attribute.Tags) > misp.MaxTags+6 || misp.TLP(got[0].Attribute.Tags) != "red" {
		t.Errorf("tags: %d matches", len(got))
	}
}

// TestListOfMillions is a list in gzip with more values than a list may have.
func TestListOfMillions(t *testing.T) { // not parallel: it measures memory
	lines := times(300_000, 700_000)
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for i := range lines {
		fmt.Fprintf(z, "h%d.example\n", i)
	}
	must(t, z.Close())
	p := newProvider(t)
	p.instead(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(b.Bytes())
	})
	list := NewList("mine", p.URL+"/list", "")
	list.from.max.values = times(200_000, 500_000)
	c := newCopy(t, list)
	values, state, err := c.sync(t)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("more than %d values", list.from.max.values)) || len(values) != 0 || state.Attributes != 0 {
		t.Errorf("%d values, %v", len(values), err)
	}
	if files, err := os.ReadDir(filepath.Join(c.syncer.Dir, "mine")); err != nil || len(files) > 2 {
		t.Errorf("what was written of it is still there: %v, %v", files, err)
	}
}

// TestFeedBounds refuses a feed that is more than a mirror should take, or leaves out what of it is.
func TestFeedBounds(t *testing.T) { // not parallel: it measures memory
	p := newProvider(t)
	feed := NewFeed("circl", p.URL+"/feed/", "")
	feed.from.max.attributes, feed.from.max.feed = 3, 10_000
	c := newCopy(t, feed)
	events := map[string][]string{"a1": {"one.example"}, "a2": {"two.example"}, "a3": {"three.example"}, "a4": {}, "a5": {}}
	p.put(t, 1, events)
	before := c.want(t, "as many as there may be", "one.example", "three.example", "two.example")
	refused := func(what, says string) {
		t.Helper()
		values, state, err := c.sync(t)
		if err == nil || !strings.Contains(state.Failure, says) || state.Base != before.Base || state.Changes != before.Changes || len(values) != 3 {
			t.Errorf("%s: %v, %+v, %v", what, values, state, err)
		}
	}
	events["a4"] = []string{"four.example"}
	p.put(t, 2, events)
	refused("one more", "more than 3 attributes; mirror a smaller feed")
	events["a1"], events["a2"] = []string{"uno.example", "one.example"}, []string{"dos.example"}
	p.put(t, 3, events)
	refused("many more", "more than 3 attributes; mirror a smaller feed")
	feed.from.max.attributes, feed.from.max.feed = 10, 500
	refused("bytes", "its events have more than 500 bytes; mirror a smaller feed")
	feed.from.max.feed = 100 << 20
	before = c.want(t, "again", "dos.example", "four.example", "one.example", "three.example", "uno.example")

	// An event of 30 KB in gzip that would take 9 GB is left out.
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, _ = w.Write([]byte(`{"Event":{"Attribute":[` + strings.Repeat(`{},`, 10_000_000) + `{}]}}`))
	must(t, w.Close())
	events["a1"] = []string{"changed.example"}
	p.put(t, 4, events)
	p.instead(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, uuidOf("a1")) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(z.Bytes())
			return
		}
		_, _ = w.Write([]byte(p.files[strings.TrimPrefix(r.URL.Path, "/feed/")]))
	})
	used := allocated()
	state := c.want(t, "a huge event", "dos.example", "four.example", "one.example", "three.example", "uno.example")
	if used = allocated() - used; used > 200<<20 || !strings.Contains(state.Failure, "Event.Attribute has more than 500000 entries; split the event; report it to the owner of the feed") {
		t.Errorf("%d bytes of memory, %s", used, state.Failure)
	} else {
		t.Logf("%d bytes of memory", used)
	}
}

// TestManyChanges has more changes than are kept in memory: the source is read as a whole.
func TestManyChanges(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	c := newCopy(t, NewFeed("circl", p.URL+"/feed/", ""))
	c.syncer.testOnlyMostChanges = 3
	events := map[string][]string{"a1": {"one.example"}, "a2": {}, "a3": {}, "a4": {}, "a5": {}}
	p.put(t, 1, events)
	before := c.want(t, "first", "one.example")
	events["a1"] = []string{"b.example", "c.example"}
	p.put(t, 2, events)
	if state := c.want(t, "few", "b.example", "c.example"); state.Base != before.Base {
		t.Errorf("not added to the base: %+v", state)
	}
	events["a1"] = []string{"d.example", "e.example", "f.example", "g.example"}
	p.put(t, 3, events)
	if state := c.want(t, "many", "d.example", "e.example", "f.example", "g.example"); state.Base == before.Base || state.Changes != "" {
		t.Errorf("not read as a whole: %+v", state)
	}

	s := newSite(t, misptest.New(t, fixture))
	s.syncer.testOnlyMostChanges = 2
	first := s.sync()
	s.tick(time.Hour)
	for i := range 4 {
		s.AddAttribute(uuidOf("e1"), fmt.Sprintf(`{"type":"domain","value":"n%d.example","to_ids":true}`, i))
	}
	s.tick(time.Minute)
	if state := s.sync(); state.Base == first.Base || state.Attributes != first.Attributes+4 {
		t.Errorf("MISP was not walked: %+v after %+v", state, first)
	}
}

// TestManyMatches looks a value up that a source has very often.
func TestManyMatches(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, err := openWriter(t.Context(), filepath.Join(dir, "mine"), time.Now, nil)
	must(t, err)
	n := 2*maxRead + 10
	must(t, w.replace(t.Context(), func(b *builder) error {
		for i := range n {
			a := misp.Attribute{UUID: fmt.Sprint(i), Type: "domain", Value: "evil.example", ToIDs: i%10 == 9, Timestamp: time.Unix(int64(i+1), 0), Event: misp.Event{UUID: "e"}}
			must(t, b.Add(a, ""))
		}
		return nil
	}, func(*State) {}))
	must(t, w.close())
	m := openMirror(t, dir, "mine")
	asked := []engine.Observable{{Type: "domain", Value: "evil.example"}}
	start := time.Now()
	matches, err := m.Lookup(t.Context(), asked)
	if took := time.Since(start); err != nil || len(matches) != enrich.MaxMatches || took > 20*time.Second {
		t.Fatalf("%d matches in %s, %v", len(matches), took, err)
	}
	for i, m := range matches {
		if want := time.Unix(int64(maxRead-10*i), 0); !m.Attribute.ToIDs || !m.Attribute.Timestamp.Equal(want) {
			t.Fatalf("match %d: %+v", i, m.Attribute)
		}
	}
	for _, left := range []int{0, 1, 1000} {
		ctx := &steps{t.Context(), left}
		_, err := m.Lookup(ctx, asked)
		trouble, _ := errors.AsType[*enrich.Trouble](err)
		if trouble == nil || !errors.Is(err, context.DeadlineExceeded) || !trouble.Answered || !strings.Contains(err.Error(), `more of domain "evil.example" than could be read in time`) {
			t.Errorf("%d steps: %v", left, err)
		}
		if over := -ctx.left; over > 10 {
			t.Errorf("the context was looked at %d times after its end", over)
		}
	}
}

// TestEachLoopEnds has the time run out within each of the loops of a sync.
func TestEachLoopEnds(t *testing.T) {
	t.Parallel()
	const n = 2000
	dir := t.TempDir()
	w, err := openWriter(t.Context(), filepath.Join(dir, "x"), time.Now, nil)
	must(t, err)
	t.Cleanup(func() { _ = w.close() })
	fill := func(b *builder) error {
		for i := range n {
			must(t, b.Add(generated(i), ""))
		}
		return nil
	}
	must(t, w.replace(t.Context(), fill, func(*State) {}))
	c := changesOf(w.set)
	for i := range n {
		a := generated(i)
		a.Comment = "changed"
		c.Put(a)
	}
	text := strings.Repeat("evil.example\n", n)
	for name, tt := range map[string]struct {
		least int // steps that it takes
		do    func(context.Context) error
	}{
		"base":    {2 * n, func(ctx context.Context) error { return w.replace(ctx, fill, func(*State) {}) }},
		"merge":   {3 * n, w.merge},
		"changes": {3 * n, func(ctx context.Context) error { return c.write(ctx, filepath.Join(dir, "x", "c.segment"), begin) }},
		"list": {n, func(ctx context.Context) error {
			return (&listReader{}).read(ctx, strings.NewReader(text), func(misp.Attribute) error { return nil })
		}},
		"checksums": {2, func(ctx context.Context) error {
			return w.set.base.verify(unpaced(ctx))
		}},
	} {
		counting := &steps{t.Context(), 1 << 40}
		must(t, tt.do(counting))
		if took := 1<<40 - counting.left; took < tt.least {
			t.Errorf("%s: the context was looked at %d times, want %d", name, took, tt.least)
		}
		for _, left := range []int{0, 1, tt.least / 2} {
			if err := tt.do(&steps{t.Context(), left}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v after %d steps", name, err, left)
			}
		}
	}
}

// TestSegmentBounds has a trailer, and records, that are more than a reader should take.
func TestSegmentBounds(t *testing.T) { // not parallel: it measures memory
	s, name := build(t, func(b *builder) { add(t, b, generated(0), generated(2)) })
	data, err := os.ReadFile(name)
	must(t, err)
	end := len(data) - tailSize
	start := end - int(binary.LittleEndian.Uint32(data[end:]))
	with := func(member, value string) []byte {
		var all map[string]json.RawMessage
		must(t, json.Unmarshal(data[start:end], &all))
		all[member] = json.RawMessage(value)
		trailer, err := json.Marshal(all)
		must(t, err)
		whole := append(slices.Clone(data[:start]), trailer...)
		whole = binary.LittleEndian.AppendUint32(whole, uint32(len(trailer))) //nolint:gosec // a test
		whole = binary.LittleEndian.AppendUint32(whole, crc32.Checksum(trailer, crcTable()))
		return append(whole, magic...)
	}
	for what, file := range map[string][]byte{
		"networks": with("networks", `[`+strings.Repeat(`"",`, maxNetworks)+`""]`),
		"words":    with("words", `[`+strings.Repeat(`"",`, maxNetworks)+`""]`),
		"any list": with("x", `[`+strings.Repeat(`0,`, 10*maxNetworks)+`0]`),
	} {
		before := allocated()
		err := (&segment{}).parse(bytes.NewReader(file), int64(len(file)))
		if used := allocated() - before; !errors.Is(err, errDamaged) || used > uint64(len(file))+1<<20 {
			t.Errorf("%s: %v, %d bytes of memory", what, err, used)
		}
	}
	file := with("words", `["a"]`)
	if err := (&segment{}).parse(bytes.NewReader(file), int64(len(file))); err != nil {
		t.Errorf("as it was: %v", err)
	}
	// A list of texts is read up to a bound.
	var to []byte
	to = appendTexts(to, slices.Repeat([]string{"x"}, 100*maxTexts))
	to = appendText(to, "after")
	c := cursor{data: string(to)}
	if texts := c.texts(); len(texts) != maxTexts || c.text() != "after" || c.broken {
		t.Errorf("%d texts, %t", len(texts), c.broken)
	}
	// What is too long is not written.
	b, err := newBuilder(filepath.Join(t.TempDir(), "x"))
	must(t, err)
	defer b.abort()
	if err := b.Add(misp.Attribute{UUID: "1", Type: "domain", Value: "a.example", Comment: strings.Repeat("x", maxRecord)}, ""); err == nil || !strings.Contains(err.Error(), "more than 8388608") {
		t.Errorf("a long record: %v", err)
	}
	if n := b.word(strings.Repeat("x", maxWord+1)); n != 0 {
		t.Errorf("a long word has number %d", n)
	}
	_ = s
}

// TestStateBounds keeps state.json short, whatever a server says, and does not take other files for those that it
// names.
func TestStateBounds(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	c := newCopy(t, NewList("mine", p.URL+"/list", ""))
	p.instead(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"`+strings.Repeat("x", maxTag)+`"`)
		_, _ = w.Write([]byte("evil.example\n"))
	})
	if state := c.want(t, "a long tag", "evil.example"); state.Tag != "" {
		t.Errorf("a tag of %d bytes", len(state.Tag))
	}
	dir := filepath.Join(c.syncer.Dir, "mine")
	state, err := loadState(dir)
	must(t, err)
	state.Failure = strings.Repeat("é", maxState)
	must(t, state.save(dir))
	if again, err := loadState(dir); err != nil || len(again.Failure) > maxFailure+10 || !strings.HasSuffix(again.Failure, "é…") {
		t.Errorf("a failure of %d bytes, %v", len(again.Failure), err)
	}
	for what, change := range map[string]func(*State){
		"shorter than it says": func(s *State) { s.Bytes++ },
		"longer than it says":  func(s *State) { s.Bytes-- },
	} {
		other := state
		change(&other)
		if _, err := other.open(t.Context(), dir, nil, false); !errors.Is(err, errDamaged) {
			t.Errorf("%s: %v", what, err)
		}
	}
	set, err := state.open(t.Context(), dir, nil, false)
	must(t, err)
	set.release()
}
