package jsonscan_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"custom-misp/misp/internal/jsonscan"
)

func elements(data string) []string {
	got := []string{}
	for e := range jsonscan.Elements([]byte(data)) {
		got = append(got, string(e))
	}
	return got
}

func members(data string) [][2]string {
	got := [][2]string{}
	for k, v := range jsonscan.Members([]byte(data)) {
		got = append(got, [2]string{string(k), string(v)})
	}
	return got
}

func TestElements(t *testing.T) {
	t.Parallel()
	for data, want := range map[string][]string{
		`[]`: {}, ` [ ] `: {}, `{}`: {}, `{"a":[1]}`: {}, `"[1]"`: {}, `null`: {}, ``: {}, `[`: {}, `[,`: {}, `[1`: {"1"},
		"[1, -2.5e3 ,\n\"a\" , null,true]": {"1", "-2.5e3", `"a"`, "null", "true"},
		`[[1,[2]],{"a":[{}]},"]",  "\"]"]`: {`[1,[2]]`, `{"a":[{}]}`, `"]"`, `"\"]"`},
		`["\\",["\\\"]"],1]`:               {`"\\"`, `["\\\"]"]`, "1"},
		`["a`:                              {`"a`}, `[{"a`: {},
	} {
		if d := cmp.Diff(want, elements(data)); d != "" {
			t.Errorf("%s (-want +got):\n%s", data, d)
		}
	}
}

func TestMembers(t *testing.T) {
	t.Parallel()
	for data, want := range map[string][][2]string{
		`{}`: {}, `[{"a":1}]`: {}, `{"a"`: {}, `{"a":`: {}, `{"a`: {}, `{"`: {}, `{1:2}`: {}, `{"a" 1}`: {},
		`{ "a" : 1 , "b\"":{"c":[]},"a":"}" }`: {{"a", "1"}, {`b\"`, `{"c":[]}`}, {"a", `"}"`}},
		`{"":"","\\":"\\"}`:                    {{"", `""`}, {`\\`, `"\\"`}},
	} {
		if d := cmp.Diff(want, members(data)); d != "" {
			t.Errorf("%s (-want +got):\n%s", data, d)
		}
	}
	if got := string(jsonscan.Member([]byte(`{"a":1,"b":2,"a":3}`), "a")); got != "3" {
		t.Errorf("of a key that is there twice: %s", got)
	}
	if got := jsonscan.Member([]byte(`{"a":1}`), "c"); got != nil {
		t.Errorf("of a key that is not there: %s", got)
	}
}

func TestLonger(t *testing.T) {
	t.Parallel()
	for than, want := range map[int]bool{0: true, 2: true, 3: false, 4: false} {
		if got := jsonscan.Longer([]byte(`[1,[2],3]`), than); got != want {
			t.Errorf("longer than %d: %t", than, got)
		}
	}
	if jsonscan.Longer([]byte(`{"a":1}`), 0) {
		t.Error("an object is no list")
	}
}

// TestLinear has documents that would take hours if a part of them were gone over for each of its elements.
func TestLinear(t *testing.T) {
	t.Parallel()
	const n = 1 << 20
	start := time.Now()
	for name, data := range map[string]string{
		"escapes":           `["` + strings.Repeat(`\\`, n) + `"]`,
		"quotes":            `["` + strings.Repeat(`\"`, n) + `"]`,
		"elements":          `[` + strings.Repeat(`{},`, n) + `{}]`,
		"deep":              strings.Repeat(`[`, n) + strings.Repeat(`]`, n),
		"deep without end":  strings.Repeat(`[`, n),
		"strings":           `[` + strings.Repeat(`"",`, n) + `""]`,
		"quotes, escaped":   `["` + strings.Repeat(`\\\"`, n) + `"]`,
		"blanks":            `[` + strings.Repeat(` `, n) + `1]`,
		"string of no end":  `["` + strings.Repeat(`\"`, n),
		"escape of no end":  `["` + strings.Repeat(`\`, n),
		"objects of no end": strings.Repeat(`{"":`, n),
	} {
		for range jsonscan.Elements([]byte(data)) {
			continue
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Fatalf("%s: %s", name, took)
		}
	}
}

// FuzzScan compares what is found in valid documents with what encoding/json finds. In others nothing panics, and what
// is found is a part of them.
func FuzzScan(f *testing.F) {
	for _, s := range []string{`[1,"a\"",{"b":[null]}]`, `{"a":1,"b":{"c":"\\"}}`, `[`, `{"`, `{"a":1,"a":[2]}`, ` [ ] `, `"`, `[}`, `{]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var found [][]byte
		total := 0
		for e := range jsonscan.Elements(data) {
			found = append(found, e)
			total += len(e)
		}
		keys := map[string][]byte{}
		for k, v := range jsonscan.Members(data) {
			keys[string(k)] = v
			total += len(k) + len(v)
		}
		if total > len(data) {
			t.Fatalf("%d bytes in %d", total, len(data))
		}
		if !json.Valid(data) {
			return
		}
		var list []json.RawMessage
		if json.Unmarshal(data, &list) == nil && !slices.EqualFunc(list, found, func(a json.RawMessage, b []byte) bool { return bytes.Equal(a, b) }) {
			t.Errorf("elements %q, want %q", found, list)
		}
		var object map[string]json.RawMessage
		if json.Unmarshal(data, &object) != nil || strings.ContainsAny(string(data), "\\\ufffd") || !bytes.Equal(bytes.ToValidUTF8(data, nil), data) {
			return // keys are as they stand
		}
		for k, v := range object {
			if !bytes.Equal(v, keys[k]) {
				t.Errorf("%q is %q, want %q", k, keys[k], v)
			}
		}
		if len(object) != len(keys) {
			t.Errorf("%d keys, want %d", len(keys), len(object))
		}
	})
}
