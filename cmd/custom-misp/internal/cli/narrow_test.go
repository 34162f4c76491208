package cli_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"custom-misp/cmd/custom-misp/internal/cli"
)

func TestNarrowTable(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	table := cli.NewNarrowTable(&b, "PATH", "COUNT", "WHY")
	table.Row("data.win.eventdata."+strings.Repeat("long", 20)+".destinationIp", 12, "one reason, another reason, and words that go on in a further line of the table")
	table.Row("a heading that may be as wide as the table is, whatever the columns are, " + strings.Repeat("x", 40))
	table.Row("  short\x1b[31m", 3, strings.Repeat("unbroken", 20))
	table.Row("empty", 0, "")
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > cli.Width {
			t.Errorf("%d characters: %s", n, line)
		}
	}
	want := `
PATH                                 COUNT  WHY
data.win.eventdat…ong.destinationIp  12     one reason, another reason, and
                                            words that go on in a further line
                                            of the table
a heading that may be as wide as the tab…xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
  short?[31m                         3      unbrokenunbrokenun…nunbrokenunbroken
empty                                0
`
	if got := "\n" + b.String(); got != want {
		t.Errorf("got%swant%s", got, want)
	}
}

func TestShorten(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		most int
		want string
	}{
		{"abcdef", 6, "abcdef"}, {"abcdef", 5, "ab…ef"}, {"abcdef", 4, "ab…f"}, {"abcdef", 1, "…"}, {"abcdef", 0, ""}, {"äöüß", 3, "ä…ß"}, {"", 3, ""},
	} {
		if got := cli.Shorten(tt.text, tt.most); got != tt.want {
			t.Errorf("Shorten(%q, %d) = %q, want %q", tt.text, tt.most, got, tt.want)
		}
	}
}

func TestWrap(t *testing.T) {
	t.Parallel()
	got := cli.Wrap(strings.Repeat("word ", 30) + "\x1b")
	want := strings.Repeat("word ", 14) + "word\n  " + strings.Repeat("word ", 14) + "word ?\n"
	if got != strings.ReplaceAll(want, " \n", "\n") {
		t.Errorf("wrapped:\n%q", got)
	}
	if got := cli.Wrap("short"); got != "short\n" {
		t.Errorf("wrapped: %q", got)
	}
}
