package atomicfile_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"custom-misp/engine/atomicfile"
)

type state struct {
	Name  string `json:"name,omitempty"`
	Count int    `json:"count,omitempty"`
}

func TestJSON(t *testing.T) {
	for text, want := range map[string]state{
		"{\n  \"version\": 1,\n  \"name\": \"a\",\n  \"count\": 5,\n  \"sum\": \"crc32c-241441cb\"\n}\n": {"a", 5},
		"{\n  \"version\": 1,\n  \"sum\": \"crc32c-3bd2136d\"\n}\n":                                      {},
	} {
		name := filepath.Join(t.TempDir(), "a.json")
		if err := atomicfile.WriteJSON(name, 1, want, atomicfile.Volatile); err != nil {
			t.Fatal(err)
		}
		if data, err := os.ReadFile(name); err != nil || string(data) != text {
			t.Errorf("%s, %v", data, err)
		}
		var got state
		if err := atomicfile.ReadJSON(name, 1, 1000, &got); err != nil || got != want {
			t.Errorf("%+v, %v", got, err)
		}
		// With programs that know neither version nor sum, the rest counts as before.
		if err := atomicfile.ReadJSON(name, 2, 1000, &got); err != nil || got != want {
			t.Errorf("as an older version: %+v, %v", got, err)
		}
	}
	if err := atomicfile.WriteJSON(filepath.Join(t.TempDir(), "a.json"), 1, 5, atomicfile.Volatile); err == nil {
		t.Error("a number is written")
	}
}

// TestJSONByHand reads what an earlier program wrote, or a person.
func TestJSONByHand(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.json")
	if err := os.WriteFile(name, []byte(`{"count":7}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var got state
	if err := atomicfile.ReadJSON(name, 1, 1000, &got); err != nil || got.Count != 7 {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestJSONNewer reads files of later programs.
func TestJSONNewer(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.json")
	check := func(version int) {
		t.Helper()
		var got state
		err := atomicfile.ReadJSON(name, 1, 1000, &got)
		newer, ok := errors.AsType[*atomicfile.NewerError](err)
		if !ok || newer.Version != version || got != (state{}) {
			t.Fatalf("%+v, %v", got, err)
		}
		if s := err.Error(); !strings.Contains(s, name) || !strings.Contains(s, "left untouched") || strings.Contains(s, "\n") {
			t.Errorf("error %q", s)
		}
	}
	if err := atomicfile.WriteJSON(name, 2, state{Count: 1}, atomicfile.Volatile); err != nil {
		t.Fatal(err)
	}
	check(2)
	for _, text := range []string{`{"version":12,"count":{}}`, `{"version":12,"sum":"sha256-5"}`} { // if its sum were another one
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		check(12)
	}
}

// TestJSONDamaged flips each bit of a file, cuts it everywhere, and fills it up: nothing of it is believed, and nothing is
// taken for a newer version.
func TestJSONDamaged(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.json")
	if err := atomicfile.WriteJSON(name, 1, state{"a", 5}, atomicfile.Volatile); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, i int, data []byte) {
		t.Helper()
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := atomicfile.ReadJSON(name, 1, 1000, new(state)); !errors.Is(err, atomicfile.ErrDamaged) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s at %d: %v: %q", what, i, err, data)
		}
	}
	for i := range whole {
		for bit := range 8 {
			data := bytes.Clone(whole)
			data[i] ^= 1 << bit
			check("bit flipped", i, data)
		}
		check("cut", i, whole[:i])
	}
	check("filled up", 0, append(bytes.Clone(whole), 0))
	check("zeros", 0, make([]byte, len(whole)))
	if err := atomicfile.ReadJSON(filepath.Join(t.TempDir(), "absent"), 1, 10, new(state)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
}
