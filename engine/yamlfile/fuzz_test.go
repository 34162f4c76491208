package yamlfile

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// FuzzReader reads any bytes as a file. Whatever comes in, reading ends and is bounded, and each fault has a place in
// the file and a text of one line.
func FuzzReader(f *testing.F) {
	for _, s := range []string{
		"", byteOrderMark, "# c\n---\n", "name: a\n---\nname: b\n", "name: &a b\ntags: [*a, *a]\nnotes: *a\n", "ingredients: &i\n  - what: *i\n",
		"name: >-\n  one\n\n  two\n", "name: \"a\\u00e9\\\n  b\\x4\"\n", "name: 'it''s'\r\nvegan: yes\r\n", "? [a]\n: b\n", "<<: {name: a}\n",
		"\tname: a\n", "name: [\n", "name: \"\n\n", "{name: a, name: b, naem: c}", "name: \xff\n", "\xff\xfea\x00", "name: \x01\n",
		"a: &a [x, x]\nb: &b [*a, *a]\ntags: [*b, *b]\n", "oven: {degrees: [1]}\ningredients: []\n", "name: !!binary aGk=\n", "%YAML 1.1\n---\na\n...\nb",
		"name: &n # c\n  >2-\n   x\n", "name: *x\n", strings.Repeat("[", 11_000), "name: a\u0085tags: b\u2028c: d",
	} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, data []byte, offset int) {
		r := NewReader("f.yaml", data)
		top := r.Document()
		if top == nil && len(r.Faults()) == 0 {
			t.Error("neither a document nor a fault")
		}
		if top != nil {
			var got recipe
			r.Decode(top, &got)
			for _, s := range append(got.Tags, got.Name, got.Version) {
				if s.Given() {
					r.FaultIn(s, offset, "", "here")
					r.WarnIn(s, len(s.Value), "", "behind")
				}
			}
		}
		if r.visits > r.limit+10 {
			t.Errorf("%d nodes were read of %d bytes", r.visits, len(data))
		}
		for _, fault := range r.Faults() {
			checkPlace(t, r, fault)
			checkTexts(t, fault)
		}
	})
}

func checkPlace(t *testing.T, r *Reader, f Fault) {
	t.Helper()
	if f.Line < 1 || f.Line > len(r.lines) {
		t.Fatalf("the file has %d lines: %+v", len(r.lines), f)
	}
	line := r.lines[f.Line-1]
	if f.Column < 1 || f.Column > utf8.RuneCountInString(line)+1 || f.Text != line {
		t.Errorf("line %q: %+v", line, f)
	}
}

func checkTexts(t *testing.T, f Fault) {
	t.Helper()
	if f.Message == "" || strings.Contains(f.Error(), "\n") || !strings.HasPrefix(f.Error(), "f.yaml:") {
		t.Errorf("error %q", f.Error())
	}
	snippet := f.Snippet()
	if (snippet == "") != (f.Text == "") || utf8.RuneCountInString(snippet) > 2*snippetWidth+20 {
		t.Errorf("snippet %q of %q", snippet, f.Text)
	}
	for _, c := range snippet {
		if c != '\n' && c != '\t' && !unicode.IsGraphic(c) {
			t.Errorf("snippet %q holds %U", snippet, c)
		}
	}
}
