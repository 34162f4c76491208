package alertlog_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

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
		if ok || err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "remove it") {
			t.Errorf("%s: %t, %v", text, ok, err)
		}
	}
	if _, ok, err := alertlog.LoadCheckpoint(t.TempDir()); ok || err == nil {
		t.Errorf("a directory: %t, %v", ok, err)
	}
	if f, err := alertlog.Follow("alerts.json", &alertlog.Checkpoint{Offset: -1}); err == nil || f != nil {
		t.Errorf("followed: %v", err)
	}
}
