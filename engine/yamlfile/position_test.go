package yamlfile

import (
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestPositions looks for the place of one character of a value, «marked» in its text: the marks are taken out before
// the text is read.
func TestPositions(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"plain":                                "name: one «t»wo\n",
		"plain, first character":               "name: «o»ne\n",
		"plain, over lines":                    "name: one\n  two\n\n  thr«e»e\n",
		"plain, in a flow mapping":             "{notes: 1, name: one «t»wo}\n",
		"plain, below its key":                 "name:\n  one «t»wo\n",
		"single quotes":                        "name: 'one «t»wo'\n",
		"single quotes with quotes in it":      "name: 'it''s ''o«n»e'''\n",
		"single quotes, over lines":            "name: 'one\n\n  two  th«r»ee'\n",
		"double quotes":                        "name: \"one «t»wo\"\n",
		"double quotes with escapes":           `name: "a\tb\"c\x41\u00e9\U0001F600 \/ «t»wo"` + "\n",
		"an escape itself":                     `name: "one «\»u00e9"` + "\n",
		"escapes for white space":              `name: "a\Nb\_c\Ld\Pe\ f «t»wo"` + "\n",
		"double quotes, a line continued":      "name: \"one \\\n    two «t»hree\"\n",
		"folded":                               "name: >-\n  one\n  two «t»hree\n",
		"folded, first line":                   "name: >-\n  «o»ne\n  two\n",
		"folded, with blank lines":             "name: >\n\n  one\n\n\n  two «t»hree\n\n",
		"folded, a line indented further":      "name: >-\n  one\n    two\n  th«r»ee\n",
		"folded, with a comment and an indent": "name: >2- # a comment\n   one\n  two «t»hree\n",
		"folded, CRLF":                         "name: >-\r\n  one\r\n  two «t»hree\r\n",
		"folded, among others":                 "vegan: true\nname: >-\n  one\n  «t»wo\ntags: [a]\n",
		"literal":                              "name: |\n  one\n\n  two «t»hree\n",
		"literal, with a tab":                  "name: |\n  one\ttwo\t«t»hree\n",
		"literal, with what looks like more":   "name: |\n  # one\n  &two «*»three\n",
		"literal, kept blank lines":            "name: |+\n  one «t»wo\n\n\n",
		"behind letters of several bytes":      "name: 'é€😀 «t»wo'\n",
		"behind a byte order mark":             byteOrderMark + "name: 'one «t»wo'\n",
		"behind an anchor":                     "name: &n 'one «t»wo'\n",
		"behind a tag and an anchor":           "name: !!str &n one «t»wo\n",
		"below an anchor":                      "name: &n\n  'one «t»wo'\n",
		"below an anchor and a comment":        "name: &n # a comment\n\n  # another\n  one «t»wo\n",
		"folded, below an anchor":              "name: &n\n  >-\n  one\n  two «t»hree\n",
		"folded, behind an anchor":             "name: &n >-\n  one\n  two «t»hree\n",
	} {
		before, rest, _ := strings.Cut(text, "«")
		mark, after, _ := strings.Cut(rest, "»")
		lines := strings.Split(strings.ReplaceAll(strings.TrimPrefix(before, byteOrderMark), "\r\n", "\n"), "\n")
		want := place{len(lines), utf8.RuneCountInString(lines[len(lines)-1]) + 1}

		r := NewReader("r.yaml", []byte(before+mark+after))
		var got recipe
		r.Decode(r.Document(), &got)
		value := []rune(got.Name.Value)
		offset := offsetOf(t, before, mark, value)
		r.FaultIn(got.Name, offset, "", "here")
		for _, f := range r.Faults() {
			if f.Message != "here" || f.Line != want.line || f.Column != want.column {
				t.Errorf("%s: %v, want %d:%d for character %d of %q", name, f, want.line, want.column, offset, string(value))
			}
		}
	}
}

// offsetOf returns which character of a value is the marked one: of all that look like it, the one with as many before
// it as in the text before the mark.
func offsetOf(t *testing.T, before, mark string, value []rune) int {
	t.Helper()
	if mark == `\` { // the escape for é
		mark = "é"
	}
	_, written, _ := strings.Cut(before, "name:")
	nth := strings.Count(escapes.Replace(written), mark)
	for i, r := range value {
		if string(r) != mark {
			continue
		}
		if nth == 0 {
			return i
		}
		nth--
	}
	t.Fatalf("%q has no %s", string(value), mark)
	return 0
}

// escapes takes out what is no character of a value.
var escapes = strings.NewReplacer(`\t`, "", "!!str", "", "# a comment", "", "# another", "")

// TestPositionBehindTheValue asks for a place behind the last character, where an expression that is cut short fails.
func TestPositionBehindTheValue(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]place{
		"name: one\n":               {1, 10},
		"name: 'one'\n":             {1, 11},
		"name: >-\n  one\n  two\n":  {3, 6},
		"name: |\n  one\n\nx: y\n":  {2, 6},
		"name: ''\n":                {1, 7},
		"name: \"one  \"\n":         {1, 11},
		"{name: one, notes: two}\n": {1, 11},
	} {
		r := NewReader("r.yaml", []byte(text))
		var got recipe
		r.Decode(r.Document(), &got)
		if at := placeIn(r.lines, got.Name.Node, 100); at != want {
			t.Errorf("%q: %v, want %v", text, at, want)
		}
	}
}

// BenchmarkPosition finds the last character of a long line. The time per character stays level.
func BenchmarkPosition(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		r := NewReader("r.yaml", []byte("name: '"+strings.Repeat("x", n)+"'\n"))
		var got recipe
		r.Decode(r.Document(), &got)
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if at := placeIn(r.lines, got.Name.Node, n-1); at.column != n+7 {
					b.Fatal(at)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/char")
		})
	}
}
