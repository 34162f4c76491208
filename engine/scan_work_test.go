package engine

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// worstTexts are texts that once took, or that might take, many times as long as prose.
func worstTexts() map[string]string {
	fill := func(head, part string) string {
		return head + strings.Repeat(part, max(1, (59_000-len(head))/len(part)))
	}
	numbered := func(format string) string {
		var b strings.Builder
		for i := 0; b.Len() < 59_000; i++ {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	return map[string]string{
		"entities in a URL":         fill("http://a.example/&", "amp;"),
		"entities":                  fill("", "&amp;"),
		"ports":                     fill("", "abcd:1 "),
		"colons":                    fill("", "abcd:efgh "),
		"only colons":               fill("", ":"),
		"brackets behind a URL":     fill("http://a.example/", "]"),
		"brackets":                  fill("", "["),
		"marks":                     fill("", "a[.]b "),
		"marks in a name":           fill("a", "[.]a"),
		"half marks":                fill("", "a [. "),
		"defanged URLs":             fill("", "hxxp://x "),
		"dots":                      fill("", "."),
		"dots behind a scheme":      fill("http://", "."),
		"schemes":                   fill("", "http://"),
		"schemes and commas":        fill("", "ws://,"),
		"short URLs":                fill("", "ws://a "),
		"numbered URLs":             numbered("ws://a%d "),
		"URLs with users":           numbered("ws://a@b%d "),
		"URLs with percent signs":   numbered("ws://a/%%2%d "),
		"URLs with wrong escapes":   fill("", "ws://a/% "),
		"URLs of addresses":         numbered("ws://10.0.%d.1 "),
		"URLs in brackets":          numbered("ws://[::%d] "),
		"URLs with odd users":       numbered("ws://!@b%d "),
		"long URLs":                 numbered("ws://a/" + strings.Repeat("%%41", 200) + "%d "),
		"URLs with names":           numbered("ws://a%d.io "),
		"commas in a URL":           fill("ws://a", ",b"),
		"slashes":                   fill("", "/"),
		"slashes and names":         fill(strings.Repeat("/", 20_000), "a.com//"),
		"labels":                    fill("", "a."),
		"files":                     fill("", "ab.sh "),
		"names":                     fill("", "bb.io "),
		"numbered names":            numbered("b%d.io "),
		"names under no suffix":     numbered("b%d.bbb "),
		"names of three labels":     numbered("a.b%d.sh "),
		"countries":                 fill("", "a.b.in "),
		"private names":             numbered("b%d.corp.local "),
		"reverse names":             numbered("%d.in-addr.arpa "),
		"classes":                   fill("", "Aa.Net "),
		"addresses":                 fill("", "8.8.8.8 "),
		"numbered addresses":        numbered("8.8.%d.8 "),
		"private addresses":         fill("", "10.0.0.1 "),
		"bad addresses":             fill("", "1.1.1.256 "),
		"versions":                  fill("", "version 1.2.3.4 "),
		"numbers":                   fill("", "1.2.3 "),
		"IPv6 addresses":            fill("", "2::3 "),
		"bad IPv6 addresses":        fill("", "1::2::3 "),
		"long IPv6 addresses":       fill("", "1:2:3:4:5:6:7:8 "),
		"e-mail addresses":          fill("", "a@b.cc "),
		"numbered e-mail addresses": numbered("a%d@b.com "),
		"at signs":                  fill("", "a@"),
		"hashes":                    fill("", "token d41d8cd98f00b204e9800998ecf8427f "),
		"prefixed hashes":           fill("", "a:d41d8cd98f00b204e9800998ecf8427f "),
		"CVE ids":                   numbered("CVE-1999-%04d "),
		"bad CVE ids":               fill("", "CVE-1999-000x "),
		"Cyrillic":                  fill("", "привет "),
		"Cyrillic names":            fill("", "й.рф "),
		"numbered Cyrillic names":   numbered("й%d.рф "),
		"umlauts":                   fill("", "ü.de "),
		"long umlauts":              fill("", strings.Repeat("ü", 60)+".de "),
		"ideographic full stops":    fill("", "a\u3002b "),
		"quotes in a URL":           fill("ws://a", "ü"),
		"invalid bytes":             fill("", "\xff"),
		"invalid bytes and letters": fill("", "a\xff"),
	}
}

// byDefault is what a pick without keep does with a value.
func byDefault(_ string, t Type, value string, _ error) verdict {
	if keepByDefault(t, value) != nil {
		return dropped
	}
	return kept
}

// plain is what the work for a text is compared with.
var plain = strings.Repeat("the quick brown fox jumps over the lazy dog ", 59_000/44)

// mostWork is how many times as long as plain text any text may take, for each byte.
const mostWork = 20

// checkWork compares the time that scan takes for each byte of a text with that of plain text. The shortest of some runs
// counts, and what seems too long is measured again: other programs share the machine.
func checkWork(t *testing.T, text string) {
	t.Helper()
	ratio := 0.0
	for runs := 3; runs < 200; runs *= 4 {
		ratio = perByte(text, runs) / perByte(plain, runs)
		if ratio <= mostWork {
			return
		}
	}
	t.Errorf("%.0f times the work of plain text for each of %d bytes: %.200q", ratio, len(text), text)
}

// perByte returns the nanoseconds that scan takes for each byte of a text.
func perByte(text string, runs int) float64 {
	best := time.Hour
	for range runs {
		start := time.Now()
		scan(text, byDefault)
		best = min(best, time.Since(start))
	}
	return float64(best) / float64(len(text))
}

// TestScanWork scans the worst texts that are known.
func TestScanWork(t *testing.T) {
	for name, text := range worstTexts() {
		t.Run(name, func(t *testing.T) { checkWork(t, text) })
	}
}

// FuzzScanWork looks for a text that takes more when it is repeated, with a number in it or not.
func FuzzScanWork(f *testing.F) {
	for _, part := range fragments {
		f.Add("", part)
		f.Add("http://a.example/", part)
		f.Add("", part+"# ")
	}
	f.Fuzz(func(t *testing.T, head, part string) {
		if len(part) == 0 || len(part) > 1000 || len(head) > 1000 {
			return
		}
		var b strings.Builder
		b.WriteString(head)
		for i := 0; b.Len()+len(part)+8 < len(plain); i++ {
			b.WriteString(strings.Replace(part, "#", strconv.Itoa(i), 1))
		}
		checkWork(t, b.String())
	})
}
