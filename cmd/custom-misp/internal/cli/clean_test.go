package cli

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// hostile is a text with everything that must not reach a terminal or break a line.
const hostile = "a\x00b\x1b[31mc\u009b2Jd\u202ee\u2066f\u200bg\nh\r\ni\tj\u2028k\u0085l\x7fm\xffn\ufeffo"

// TestClean makes texts fit for one line of a terminal.
func TestClean(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, want string }{
		{"empty", "", ""},
		{"plain", "misp.url: café 日本 ✓ → €", "misp.url: café 日本 ✓ → €"},
		{"NUL", "a\x00b", "a?b"},
		{"escape sequence", "a\x1b[31mb", "a?[31mb"},
		{"C0", "\x01\x07\x08\x1f\x7f", "?????"},
		{"C1: CSI", "a\u009b2Jb", "a?2Jb"},
		{"C1: OSC", "a\u009d0;x\u009cb", "a?0;x?b"},
		{"bidirectional override", "a\u202eb\u202c", "a?b?"},
		{"bidirectional isolate", "a\u2066b\u2069", "a?b?"},
		{"zero width", "a\u200bb\ufeffc", "a?b?c"},
		{"tag character", "a\U000e0041b", "a?b"},
		{"line break", "a\nb", "a b"},
		{"line break of Windows", "a\r\nb", "a b"},
		{"line breaks and tabs", "a\n\n\t b", "a  b"},
		{"line breaks of Unicode", "a\u2028b\u2029c\u0085d", "a b c d"},
		{"no-break space", "a\u00a0b", "a b"},
		{"blanks stay", "a  b ", "a  b "},
		{"invalid UTF-8", "a\xffb\xc3", "a\ufffdb\ufffd"},
	}
	for _, tt := range tests {
		if got := Clean(tt.in); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// checkClean reports what must not be in a line.
func checkClean(t *testing.T, line string) {
	t.Helper()
	if !utf8.ValidString(line) {
		t.Errorf("not UTF-8: %q", line)
	}
	bad := func(r rune) bool { return r != ' ' && !unicode.IsPrint(r) }
	if i := strings.IndexFunc(line, bad); i >= 0 {
		t.Errorf("%q cannot be printed as it is in %q", line[i:min(i+4, len(line))], line)
	}
}

// FuzzClean has any text come out in a form that can be printed, and only once changed.
func FuzzClean(f *testing.F) {
	f.Add(hostile)
	f.Add("plain text")
	f.Fuzz(func(t *testing.T, s string) {
		clean := Clean(s)
		checkClean(t, clean)
		if again := Clean(clean); again != clean {
			t.Errorf("%q, cleaned again %q", clean, again)
		}
	})
}
