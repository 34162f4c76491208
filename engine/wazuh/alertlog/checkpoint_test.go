package alertlog_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"custom-misp/engine/atomicfile"
	"custom-misp/engine/wazuh/alertlog"
)

func TestCheckpoint(t *testing.T) {
	s := newSite(t)
	f, _ := follow(t, s.path, nil)
	s.write("a\n")
	end := expect(t, f, "a")
	if end.File != "2026/Jan/ossec-alerts-05.json" || end.Offset != 2 || end.PrefixLength != 2 || end.Inode == 0 {
		t.Errorf("%+v", end)
	}
	name := filepath.Join(t.TempDir(), "checkpoint.json")
	if _, ok, err := alertlog.LoadCheckpoint(name); ok || err != nil {
		t.Errorf("without a file: %t, %v", ok, err)
	}
	for range 2 {
		if err := end.Save(name); err != nil {
			t.Fatal(err)
		}
	}
	got, ok, err := alertlog.LoadCheckpoint(name)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if diff := cmp.Diff(end, got, cmpopts.IgnoreFields(alertlog.Checkpoint{}, "SavedAt")); diff != "" {
		t.Errorf("checkpoint (-saved +loaded):\n%s", diff)
	}
	if age := time.Since(got.SavedAt); age < 0 || age > time.Minute {
		t.Errorf("saved at %s", got.SavedAt)
	}
	if files, err := os.ReadDir(filepath.Dir(name)); err != nil || len(files) != 1 {
		t.Errorf("%v, %v", files, err)
	}
	if err := end.Save(filepath.Join(t.TempDir(), "absent", "checkpoint.json")); err == nil || !strings.Contains(err.Error(), "writable") {
		t.Errorf("error is %v", err)
	}
}

func TestCheckpointBroken(t *testing.T) {
	sum := strings.Repeat("0f", 32)
	for text, want := range map[string]string{
		``:                "unexpected end",
		`{"offset":`:      "unexpected end",
		"\x00\x00":        "invalid character",
		`{"offset":-1}`:   "offset -1, not 0 or more",
		`{"offset":"1"}`:  "cannot unmarshal",
		`{"offset":5}`:    "offset 5 without a prefix",
		`{"inode":-5}`:    "cannot unmarshal",
		`{"file":"../x"}`: `file "../x", not like`,
		`{"file":"2026/Foo/ossec-alerts-05.json"}`:                      "not like",
		`{"prefix_length":5000,"prefix_sha256":"` + sum + `"}`:          "prefix_length 5000, not 0 to 4096",
		`{"prefix_length":5,"prefix_sha256":"0f"}`:                      "not 64 hex digits",
		`{"prefix_length":5,"prefix_sha256":"` + sum[1:] + `x","x":[]}`: "not 64 hex digits",
	} {
		name := filepath.Join(t.TempDir(), "checkpoint.json")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, ok, err := alertlog.LoadCheckpoint(name)
		if ok || err == nil || !errors.Is(err, atomicfile.ErrDamaged) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %t, %v", text, ok, err)
		}
	}
	if _, ok, err := alertlog.LoadCheckpoint(t.TempDir()); ok || !errors.Is(err, atomicfile.ErrNotState) {
		t.Errorf("a directory: %t, %v", ok, err)
	}
	if f, err := alertlog.Follow("alerts.json", &alertlog.Checkpoint{Offset: -1}); err == nil || f != nil {
		t.Errorf("followed: %v", err)
	}
}

// TestCheckpointUnversioned goes on at a checkpoint of an earlier program, in the file that it belongs to.
func TestCheckpointUnversioned(t *testing.T) {
	const state = "../../../testdata/state-unversioned"
	from, ok, err := alertlog.LoadCheckpoint(filepath.Join(state, "checkpoint.json"))
	if err != nil || !ok || from.Offset != 774 || from.File != "2026/Jan/ossec-alerts-05.json" {
		t.Fatalf("%+v, %t, %v", from, ok, err)
	}
	alerts, err := os.ReadFile(filepath.Join(state, "alerts", "ossec-alerts-05.json"))
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t)
	s.write(string(alerts) + "new\n")
	f, log := follow(t, s.path, &from)
	expect(t, f, "new")
	if log.Len() > 0 {
		t.Errorf("logged: %s", log)
	}
}

// TestCheckpointNewer has a checkpoint of a later program.
func TestCheckpointNewer(t *testing.T) {
	name := filepath.Join(t.TempDir(), "checkpoint.json")
	if err := atomicfile.WriteJSON(name, 2, alertlog.Checkpoint{}, atomicfile.Volatile); err != nil {
		t.Fatal(err)
	}
	_, ok, err := alertlog.LoadCheckpoint(name)
	if newer, is := errors.AsType[*atomicfile.NewerError](err); ok || !is || newer.Version != 2 {
		t.Errorf("%t, %v", ok, err)
	}
}

// TestSince reads what was written after a time, at whatever places it is now, and nothing of the files before.
func TestSince(t *testing.T) {
	tests := []struct {
		name    string
		happens func(s *site)
		want    []string
	}{
		{"nothing since", func(*site) {}, []string{"b"}}, // all of the live file
		{"more", func(s *site) { s.write("c\n") }, []string{"b", "c"}},
		{"rotated", func(s *site) { s.write("c\n"); s.rotate(); s.write("d\n") }, []string{"b", "c", "d"}},
		{"rotated and compressed", func(s *site) {
			s.write("c\n")
			s.rotate()
			s.write("d\n")
			s.pack(1)
		}, []string{"b", "c", "d"}},
		{"moved", func(s *site) { s.undated(); s.write("c\n"); s.move(); s.write("d\n") }, []string{"b", "c", "d"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			s.write("a\n")
			s.rotate()
			s.write("b\n")
			now := time.Now()
			for i, name := range s.files {
				at := now.Add(time.Duration(i-len(s.files)) * time.Hour)
				s.must(os.Chtimes(name, at, at))
			}
			tt.happens(s)
			from, err := alertlog.Since(s.path, now.Add(-90*time.Minute))
			s.must(err)
			f, _ := follow(t, s.path, &from)
			expect(t, f, tt.want...)
		})
	}
}

// TestCheckpointIsDurable records by which steps a checkpoint is saved: it is synced before it gets its name.
func TestCheckpointIsDurable(t *testing.T) {
	dir := t.TempDir()
	var got []string
	defer atomicfile.TestOnlyHook(func(s atomicfile.Step, name string) error {
		if below, ok := strings.CutPrefix(name, dir); ok {
			got = append(got, string(s)+" "+strings.TrimPrefix(below, "/"))
		}
		return nil
	})()
	if err := (alertlog.Checkpoint{}).Save(filepath.Join(dir, "c")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"create c", "write c", "sync c", "rename c", "sync directory "}, got); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
}
