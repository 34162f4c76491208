package feed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp"
)

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// TestHostileManifest refuses a manifest that would take more memory than it is long.
func TestHostileManifest(t *testing.T) { // not parallel: it measures memory
	entries := make([]string, maxEvents+1)
	for i := range entries {
		entries[i] = fmt.Sprintf(`"%d":{}`, i)
	}
	all := []byte("{" + strings.Join(entries, ",") + "}")
	for name, tt := range map[string]struct {
		data []byte
		says string
		most uint64
	}{
		"events":       {all, "manifest.json: more than 500000 events; split the feed", 200 << 20},
		"equal events": {[]byte("{" + strings.Repeat(`"a":0,`, 10_000_000) + `"a":1}`), "", 1 << 30},
		"long name":    {[]byte(`{"` + strings.Repeat("x", 10_000_000) + `":{}}`), "is not the UUID of an event", 1 << 16},
		"levels":       {[]byte(strings.Repeat("{", 10_000_000)), "invalid character", 1 << 16},
		"long time":    {[]byte(`{"a":{"timestamp":"` + strings.Repeat("1", 10_000_000) + `"}}`), "", 1 << 16},
		"many members": {[]byte(`{"a":{` + strings.Repeat(`"x":0,`, 5_000_000) + `"timestamp":"7"}}`), "", 1 << 16},
	} {
		start, before := time.Now(), allocated()
		manifest, err := ParseManifest(tt.data)
		used, took := allocated()-before, time.Since(start)
		if used > tt.most || took > 30*time.Second {
			t.Errorf("%s: %d bytes of memory, %s", name, used, took)
		}
		if said := fmt.Sprint(err); (err == nil) != (tt.says == "") || !strings.Contains(said, tt.says) || len(said) > 300 {
			t.Errorf("%s: %.400v", name, err)
		}
		if err == nil && len(manifest) != 1 {
			t.Errorf("%s: %d events", name, len(manifest))
		}
		t.Logf("%s: %d bytes of JSON, %d of memory, %s", name, len(tt.data), used, took)
	}
}

// TestTooManyAttributes counts what can be looked up, and nothing else.
func TestTooManyAttributes(t *testing.T) {
	t.Parallel()
	dir := fstest.MapFS{
		"manifest.json": {Data: []byte(`{"e1":{}}`)},
		"e1.json":       {Data: []byte(`{"Event":{"Attribute":[{"type":"comment","value":"x"},{"type":"domain","value":"a.example"},{"type":"domain|ip","value":"b.example|192.31.196.1"}]}}`)},
	}
	if f, err := open(dir, engine.Filter{}, 2); err != nil || f.Len() != 3 {
		t.Errorf("as many as there may be: %v", err)
	}
	if _, err := open(dir, engine.Filter{}, 1); err == nil || err.Error() != "e1.json: the feed has more than 1 attributes that can be looked up; mirror it: name it in mirror.feeds" {
		t.Errorf("one more: %v", err)
	}
}

// TestFilesThatBlock has a pipe or a directory in the place of each file.
func TestFilesThatBlock(t *testing.T) {
	t.Parallel()
	for kind, put := range map[string]func(string) error{
		"pipe":      func(name string) error { return syscall.Mkfifo(name, 0o600) },
		"directory": func(name string) error { return os.Mkdir(name, 0o700) },
		"device":    func(name string) error { return os.Symlink("/dev/zero", name) },
	} {
		for _, file := range []string{"manifest.json", "e1.json"} {
			dir := t.TempDir()
			for name, content := range map[string]string{"manifest.json": `{"e1":{}}`, "e1.json": `{"Event":{}}`} {
				name = filepath.Join(dir, name)
				err := os.WriteFile(name, []byte(content), 0o600)
				if filepath.Base(name) == file {
					err = errors.Join(err, os.Remove(name), put(name))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			late := time.AfterFunc(20*time.Second, func() { panic(kind + " for " + file + " waits") })
			_, err := Open(os.DirFS(dir), engine.Filter{})
			late.Stop()
			if err == nil || !strings.HasPrefix(err.Error(), file+": ") || !strings.Contains(err.Error(), "not a regular file; ") {
				t.Errorf("%s for %s: %v", kind, file, err)
			}
		}
	}
}

// TestManyMatches looks a value up that the feed has more often than matches are returned.
func TestManyMatches(t *testing.T) {
	t.Parallel()
	const n = 3 * enrich.MaxMatches
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"type":"domain","value":"evil.example","uuid":"%05d","timestamp":"%d","to_ids":%t},`, i, 1+i, i%2 == 0)
	}
	tags := strings.Repeat(`{"name":"own"},`, 100_000)
	f, err := Open(fstest.MapFS{
		"manifest.json": {Data: []byte(`{"e1":{}}`)},
		"e1.json": {Data: []byte(`{"Event":{"Tag":[{"name":"tlp:red"}],"Attribute":[` + b.String() +
			`{"type":"domain","value":"tagged.example","Tag":[` + tags + `{"name":"tlp:amber"}]}]}}`)},
	}, engine.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	asked := []engine.Observable{{Type: "domain", Value: "tagged.example"}, {Type: "domain", Value: "evil.example"}}
	matches, err := f.Lookup(t.Context(), asked)
	if err != nil || len(matches) != 1+enrich.MaxMatches {
		t.Fatalf("%d matches, %v", len(matches), err)
	}
	if got := fmt.Sprint(matches[0].Attribute.Tags); got != "[own tlp:amber tlp:red]" {
		t.Errorf("tags %s", got)
	}
	for i, m := range matches[1:] {
		if want := fmt.Sprintf("%05d", n-2-2*i); m.Attribute.UUID != want || misp.TLP(m.Attribute.Tags) != "red" {
			t.Fatalf("match %d is %s, want %s", i, m.Attribute.UUID, want)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = f.Lookup(ended, asked)
	if trouble, ok := errors.AsType[*enrich.Trouble](err); !ok || !errors.Is(err, context.Canceled) || !trouble.Answered {
		t.Errorf("after the end of the context: %v", err)
	}
}
