package engine

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzSplitURL compares splitURL with url.Parse: what it can take apart, both take apart alike.
func FuzzSplitURL(f *testing.F) {
	for _, s := range []string{
		"http://a.example/", "HTTPS://A.example:443/x?y#z", "ws://a:", "ws://[::1]:80/", "ws://[a]/", "ws://[::1%25a]/", "http://a?b", "http://a#b",
		"http://a b", "http://a/ b", "http://a_b/", "http://:80/", "http://u:p@a/", "a1://b", "://a", "http://a/%zz", "http://ü/", "http://a/ü", "http://a/\x7f",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := splitURL(s)
		if !ok {
			return
		}
		want, ok := parseURL(s)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(urlParts{})); diff != "" || !ok {
			t.Errorf("%q: url.Parse takes it: %t (-url.Parse +splitURL):\n%s", s, ok, diff)
		}
	})
}

// FuzzAmpersands compares unescapeAmpersands with the loop that it replaced.
func FuzzAmpersands(f *testing.F) {
	f.Add("a&amp;amp;b&am&amp;p;&")
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := unescapeAmpersands(s), ampersandsInRounds(s); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	})
}

func ampersandsInRounds(s string) string {
	for strings.Contains(s, "&amp;") {
		s = strings.ReplaceAll(s, "&amp;", "&")
	}
	return s
}
