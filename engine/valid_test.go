package engine

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// checkValid compares reading a text that is checked on the way with checking it first and reading it then.
func checkValid(t *testing.T, text string) {
	t.Helper()
	var d, want document
	got := d.readValid(text)
	is := gjson.Valid(text) && strings.HasPrefix(text, "{") && strings.HasSuffix(text, "}")
	if got != is {
		if is && nestingOf(text) >= maxValid {
			return
		}
		t.Fatalf("valid %t, for gjson %t: %q", got, is, text)
	}
	if !got {
		return
	}
	want.read(text)
	if d.escapes != want.escapes || d.names != want.names || !slices.Equal(d.members, want.members) {
		t.Fatalf("%q: members %v, escapes %t, want %v, %t", text, d.members, d.escapes, want.members, want.escapes)
	}
}

// nestingOf returns how many brackets open in a text, at most.
func nestingOf(text string) int { return strings.Count(text, "{") + strings.Count(text, "[") }

// FuzzValid checks any text.
func FuzzValid(f *testing.F) {
	for _, s := range validTexts {
		f.Add(s)
	}
	f.Fuzz(checkValid)
}

var validTexts = []string{
	`{}`, `{ }`, ``, `{`, `}`, `[]`, `{"a":1}`, ` {"a":1}`, `{"a":1} `, `{"a":1}x`, `{"a":1,}`, `{,"a":1}`, `{"a" : 1 , "b":[ ] }`, `{"a":[1,]}`, `{"a":[,1]}`, `{"a":[1 2]}`,
	`{"a":-0.5e+3,"b":1E9,"c":-0}`, `{"a":01}`, `{"a":1.}`, `{"a":.5}`, `{"a":-}`, `{"a":1e}`, `{"a":1e+}`, `{"a":+1}`, `{"a":-a}`, `{"a":0x1}`,
	`{"a":true,"b":false,"c":null}`, `{"a":tru}`, `{"a":nul`, `{"a":truex}`, `{"a":"\u00e9\n\/\"\\"}`, `{"a":"\x"}`, `{"a":"\u12g4"}`, `{"a":"\u12"}`, `{"a":"\`,
	"{\"a\":\"\x1f\"}", "{\"a\":\"0123456789\x00\"}", "{\"a\":\"\x7f\x80\xff\"}", "{\"a\x01\":1}", "{\"a\":\t1\r\n}", "{\"a\":\v1}", `{"a"1}`, `{"a":}`, `{"a"}`, `{a:1}`, `{"a":'b'}`,
	`{"a":{"b":{"c":[{"d":[[[1]]]}]}}}`, `{"a":{}`, `{"a":[}`, `{"a":]}`, `{"a":1}}`, `{"01234567\"":"012345\\67","é":"` + "\u2028" + `"}`,
	strings.Repeat(`{"a":`, 20) + `[1,{"b":2}]` + strings.Repeat("}", 20), strings.Repeat(`{"a":`, maxValid) + `1` + strings.Repeat("}", maxValid),
	strings.Repeat(`{"a":`, maxValid+1) + `1` + strings.Repeat("}", maxValid+1), `{"a":` + strings.Repeat(`[`, maxValid-1) + strings.Repeat("]", maxValid-1) + `}`,
	`{"a":` + strings.Repeat(`[`, 2000) + strings.Repeat("]", 2000) + `}`,
}

// TestValidMutated checks real alerts in which bytes were changed, left out and repeated.
func TestValidMutated(t *testing.T) {
	files, err := filepath.Glob("../testdata/alerts/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	var alerts [][]byte
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		alerts = append(alerts, bytes.TrimSpace(data))
	}
	chance := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // to be repeated
	odd := "\"\\{}[]:,-0e.tfnu \x00\x1f\n\x7f\x80\xff"
	for _, alert := range alerts {
		checkValid(t, string(alert))
		for range 400 {
			text := bytes.Clone(alert)
			for range 1 + chance.IntN(2) {
				at := chance.IntN(len(text))
				switch chance.IntN(3) {
				case 0:
					text[at] = odd[chance.IntN(len(odd))]
				case 1:
					text = append(text[:at], text[min(len(text), at+1+chance.IntN(9)):]...)
				default:
					text = append(text[:at], append(bytes.Clone(text[at:min(len(text), at+1+chance.IntN(9))]), text[at:]...)...)
				}
				if len(text) == 0 {
					break
				}
			}
			checkValid(t, string(text))
		}
	}
}
