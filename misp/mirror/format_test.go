package mirror

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp"
	"custom-misp/misp/misptest"
)

// oldFixture holds sets that an earlier version wrote, in format cmispm02, and in found.txt what that version found in
// them.
const oldFixture = "testdata/cmispm02"

// copied copies the fixture.
func copied(t *testing.T) (dir string, want []string) {
	t.Helper()
	dir = t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS(oldFixture)))
	found, err := os.ReadFile(filepath.Join(oldFixture, "found.txt"))
	must(t, err)
	return dir, strings.Split(strings.TrimSuffix(string(found), "\n"), "\n")
}

// foundIn returns what a mirror of the fixture finds, with all that is known of it.
func foundIn(t *testing.T, m *Mirror) []string {
	t.Helper()
	var lines []string
	for _, o := range append(slices.Clone(asked), observable("domain", "listed.example"), observable("ip-dst", "192.31.196.7"), observable("ip-dst", "198.51.100.9")) {
		matches, err := m.Lookup(t.Context(), []engine.Observable{o})
		must(t, err)
		for _, x := range matches {
			a := x.Attribute
			lines = append(lines, fmt.Sprintf("%s | %s | %s | %s | %s | %t | %d | %s | %s | %s", line(x), a.Origin, a.ID, a.Category, a.Comment,
				a.ToIDs, a.Timestamp.Unix(), strings.Join(a.Tags, ","), a.Event.Info, a.Event.Org))
		}
	}
	slices.Sort(lines)
	return lines
}

// TestOldVersion reads sets of the old format. The next sync writes them anew, without asking the source for what it has
// already, and finds the same.
func TestOldVersion(t *testing.T) {
	t.Parallel()
	dir, want := copied(t)
	m := openMirror(t, dir, ServerName, "list")
	if d := cmp.Diff(want, foundIn(t, m)); d != "" {
		t.Errorf("the old format (-want +got):\n%s", d)
	}
	must(t, m.Verify(t.Context(), 0))
	y := newSyncer(t, dir, func() time.Time { return begin.Add(time.Hour) })
	for _, name := range []string{ServerName, "list"} {
		before, err := loadState(filepath.Join(dir, name))
		must(t, err)
		o := untouched{name}
		state, err := y.Sync(t.Context(), o, false)
		must(t, err)
		if state.Base == before.Base || state.Changes != "" || !state.FullAt.Equal(before.FullAt) || state.Attributes != before.Attributes {
			t.Errorf("not written anew: %+v", state)
		}
		base, err := os.ReadFile(filepath.Join(dir, name, state.Base))
		must(t, err)
		if !strings.HasPrefix(string(base), magic) {
			t.Errorf("%s begins with %q", state.Base, base[:8])
		}
		again, err := y.Sync(t.Context(), o, false)
		must(t, err)
		if again.Base != state.Base {
			t.Error("written anew once more")
		}
	}
	m.Refresh()
	if d := cmp.Diff(want, foundIn(t, m)); d != "" {
		t.Errorf("written anew (-want +got):\n%s", d)
	}
}

// untouched is an origin that has nothing new.
type untouched struct{ name string }

func (u untouched) Name() string             { return u.name }
func (u untouched) describe() (Kind, string) { return "", "" }
func (u untouched) sync(_ context.Context, w *writer, _ *Syncer, _ bool) error {
	if w.set == nil {
		return errors.New("there is no set")
	}
	return w.keep(func(*State) {})
}

// TestOldVersionDamaged flips a bit of each byte of an old segment, and cuts it short: it has no checksums of blocks, so
// all look-ups fail.
func TestOldVersionDamaged(t *testing.T) {
	t.Parallel()
	dir, _ := copied(t)
	name := filepath.Join(dir, "list", "base-00000001.segment")
	whole, err := os.ReadFile(name)
	must(t, err)
	damaged := func(what string, data []byte) {
		t.Helper()
		must(t, os.WriteFile(name, data, 0o600))
		m := Open(dir, []string{"list"}, engine.Filter{})
		defer m.Close()
		_, err := m.Lookup(t.Context(), []engine.Observable{observable("domain", "listed.example")})
		if trouble, _ := errors.AsType[*enrich.Trouble](err); trouble == nil || trouble.Code != enrich.CodeDamaged {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for at := range whole {
		broken := slices.Clone(whole)
		broken[at] ^= 1 << (at % 8)
		damaged(fmt.Sprintf("byte %d", at), broken)
		damaged(fmt.Sprintf("cut to %d bytes", at), whole[:at])
	}
}

// TestNewerVersion has files of a newer version, as after a downgrade. They stay as they are, the mirror of their source
// counts as not there, and messages name the file, its version and the remedy.
func TestNewerVersion(t *testing.T) {
	t.Parallel()
	t.Run("segment", func(t *testing.T) {
		t.Parallel()
		newerVersion(t, "format 17", func(dir string, state State) string {
			name := filepath.Join(dir, state.Base)
			data, err := os.ReadFile(name)
			must(t, err)
			copy(data, "cmispm17")
			copy(data[len(data)-8:], "cmispm17")
			must(t, os.WriteFile(name, data, 0o600))
			return name
		})
	})
	t.Run("state", func(t *testing.T) {
		t.Parallel()
		newerVersion(t, "format 3", func(dir string, state State) string {
			name := filepath.Join(dir, stateFile)
			must(t, os.WriteFile(name, newerState(t, state), 0o600))
			return name
		})
	})
}

// newerVersion makes a file of a set one of a newer version, which messages have to name.
func newerVersion(t *testing.T, version string, change func(dir string, state State) (name string)) {
	s := newSite(t, misptest.New(t, fixture))
	state := s.sync()
	dir := filepath.Join(s.syncer.Dir, ServerName)
	name := change(dir, state)
	must(t, os.WriteFile(filepath.Join(dir, "base-00000099.segment"), []byte("cmispm17"), 0o600))
	before := contents(t, dir)
	s.syncer.Close()
	s.mirror.Close()
	m := openMirrorAt(t, s)
	says := func(what, text string) {
		t.Helper()
		for _, part := range []string{name, version, "install the newer version again, or remove the directory"} {
			if !strings.Contains(text, part) || strings.Contains(text, "\n") {
				t.Errorf("%s: %q does not name %q", what, text, part)
			}
		}
	}
	_, err := m.Lookup(t.Context(), asked[:1])
	if trouble, _ := errors.AsType[*enrich.Trouble](err); trouble == nil || trouble.Code != enrich.CodeMirror {
		t.Fatalf("look-up: %v", err)
	}
	says("look-up", err.Error())
	if states := m.States(); !states[0].SyncedAt.IsZero() || len(m.Damages()) > 0 {
		t.Errorf("not as if it was not there: %+v, %v", states, m.Damages())
	} else {
		says("state", states[0].Failure)
	}
	for _, full := range []bool{false, true} {
		_, err := s.syncer.Sync(t.Context(), s.origin, full)
		if err == nil {
			t.Fatal("synced")
		}
		says("sync", err.Error())
	}
	if d := cmp.Diff(before, contents(t, dir)); d != "" {
		t.Errorf("files changed (-want +got):\n%s", d)
	}
	// A feed that is not there does not keep other sources from being used.
	syncList(t, s.syncer, NewList("list", file(t, "listed.example\n"), ""))
	must(t, os.Rename(dir, filepath.Join(s.syncer.Dir, "feed")))
	must(t, openMirror(t, s.syncer.Dir, "feed", "list").Usable())
}

// newerState returns a state of a newer version.
func newerState(t *testing.T, s State) []byte {
	t.Helper()
	data, err := encodeState(s)
	must(t, err)
	lines := strings.Replace(string(data), fmt.Sprintf(`"version": %d`, stateVersion), `"version": 3`, 1)
	lines = lines[:strings.Index(lines, sumKey)+1]
	return fmt.Appendf([]byte(lines), sumLine, crc32.Checksum([]byte(lines), crcTable()))
}

// contents returns the files of a directory.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, name := range files(t, dir) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		all[name] = string(data)
	}
	return all
}

// TestUnknownSection reads a segment with sections that this version does not know: they are skipped, and verified like
// all else.
func TestUnknownSection(t *testing.T) {
	t.Parallel()
	s, name := build(t, func(b *builder) {
		add(t, b, misp.Attribute{UUID: uuidOf("01"), Type: "domain", Value: "evil.example"})
		b.testOnlySections = map[string][]byte{"uuids.expiry": make([]byte, 8), "indicators.sha256": make([]byte, 100_000)}
	})
	if s.trailer.section("uuids.expiry").Length != 8 || s.trailer.section("indicators.sha256").Length != 100_000 {
		t.Fatalf("sections %+v", s.trailer.Sections)
	}
	i := engine.Indicator{Family: "host", Key: "evil.example"}
	for a, err := range (&snapshot{base: s}).find(t.Context(), i, i) {
		if err != nil || a.Value != "evil.example" {
			t.Errorf("%+v, %v", a, err)
		}
	}
	data, err := os.ReadFile(name)
	must(t, err)
	data[s.trailer.section("indicators.sha256").At+50_000] ^= 1
	must(t, os.WriteFile(name, data, 0o600))
	if _, err := openSegment(t.Context(), name, maxSegment, true); !errors.Is(err, errDamaged) {
		t.Errorf("damage in an unknown section: %v", err)
	}
}

// TestStateVersions reads a state as it was written before it had a version.
func TestStateVersions(t *testing.T) {
	t.Parallel()
	s, err := decodeState([]byte(`{"origin":"misp","kind":"misp","base":"base-00000001.segment","x":1}`))
	if err != nil || s.Base != "base-00000001.segment" {
		t.Errorf("%+v, %v", s, err)
	}
	for _, text := range []string{``, `null x`, `[]`, `{"version":2,"base":"base-00000001.segment"}`, "{\n  \"sum\": \"00000000\"\n}\n"} {
		if _, err := decodeState([]byte(text)); !errors.Is(err, errDamaged) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
