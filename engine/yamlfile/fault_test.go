package yamlfile

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFaultText(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]Fault{
		"a.yaml:3:7: it is wrong; make it right": {File: "a.yaml", Line: 3, Column: 7, Message: "it is wrong", Remedy: "make it right"},
		"a.yaml: it is wrong":                    {File: "a.yaml", Message: "it is wrong"},
		"a.yaml:1:1: warning: it is odd":         {File: "a.yaml", Line: 1, Column: 1, Message: "it is odd", Warning: true},
	} {
		if got := f.Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestSnippet(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 300) + "b" + strings.Repeat("c", 300)
	for name, tt := range map[string]struct {
		text   string
		column int
		want   string
	}{
		"first column":        {"abc", 1, "  | abc\n  | ^\n"},
		"last column":         {"abc", 3, "  | abc\n  |   ^\n"},
		"behind the line":     {"abc", 9, "  | abc\n  |    ^\n"},
		"several bytes":       {"é€😀x", 4, "  | é€😀x\n  |    ^\n"},
		"tabs":                {"\ta:\tx", 5, "  | \ta:\tx\n  | \t  \t^\n"},
		"what is not shown":   {"a\x1b[31m\u009b\u202ex", 8, "  | a\ufffd[31m\ufffd\ufffdx\n  |        ^\n"},
		"not UTF-8":           {"a\xffx", 3, "  | a\ufffdx\n  |   ^\n"},
		"a long line, middle": {long, 301, "  | …" + strings.Repeat("a", 80) + "b" + strings.Repeat("c", 79) + "…\n  | " + strings.Repeat(" ", 81) + "^\n"},
		"a long line, start":  {long, 1, "  | " + strings.Repeat("a", 160) + "…\n  | ^\n"},
		"a long line, end":    {long, 601, "  | …" + strings.Repeat("c", 160) + "\n  | " + strings.Repeat(" ", 160) + "^\n"},
		"no column":           {"abc", 0, ""},
		"no line":             {"", 1, ""},
	} {
		if diff := cmp.Diff(tt.want, Fault{Text: tt.text, Column: tt.column}.Snippet()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	words := []string{"sha1", "sha256", "sha512", "hostname", "domain", "ip-dst", "ip-src", "Größe"}
	for s, want := range map[string]string{
		"sha265":   "sha256", // two swapped
		"SHA256":   "sha256",
		"sha":      "sha1",
		"hostnam":  "hostname",
		"hostnme":  "hostname",
		"domian":   "domain",
		"ip-dts":   "ip-dst",
		"ip-srcc":  "ip-src",
		"grösse":   "Größe",
		"":         "",
		"x":        "",
		"user":     "",
		"filename": "",

		strings.Repeat("sha256", 100_000): "",
	} {
		if got := Nearest(s, words); got != want {
			t.Errorf("nearest to %.20q is %q, want %q", s, got, want)
		}
	}
	if got := Nearest("a", nil); got != "" {
		t.Errorf("nearest of none is %q", got)
	}
}

func TestDidYouMean(t *testing.T) {
	t.Parallel()
	many := strings.Split("abcdefghijklm", "")
	for _, tt := range []struct {
		s     string
		words []string
		want  string
	}{
		{"naem", []string{"name", "tags"}, `did you mean "name"?`},
		{"something", []string{"name", "tags"}, "use one of: name, tags"},
		{"something", many, ""},
		{"something", many[:12], "use one of: a, b, c, d, e, f, g, h, i, j, k, l"},
	} {
		if got := DidYouMean(tt.s, tt.words); got != tt.want {
			t.Errorf("%s of %v: %q, want %q", tt.s, tt.words, got, tt.want)
		}
	}
}
