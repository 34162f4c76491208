package engine

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// all returns everything that a scan finds in a text, as scan and oldScan call it.
func all(text string) (now, before []string) {
	scan(text, func(candidate string, t Type, value string, _ error) verdict {
		now = append(now, string(t)+" "+value+" from "+candidate)
		return dropped
	})
	oldScan(text, func(candidate string, t Type, value string, _ error) bool {
		if len(value) <= MaxValue && len(candidate) <= MaxValue && (t != "url" || keepURLByDefault(value) == nil) {
			before = append(before, string(t)+" "+value+" from "+candidate)
		}
		return true
	})
	return now, before
}

// comparable reports whether scan must find in a text what oldScan finds. There are these differences, all wanted:
//   - Of a text that is longer than maxScan, the first and the last half are read, and not a word that a cut goes through.
//     The old scan read the beginning, to the byte.
//   - URLs of private addresses, of names that are only known at a site and of reverse names are left out, like the
//     addresses themselves.
//   - A value that is longer than MaxValue is left out.
//   - hxXp:// and HxXp:// are refanged, like hxxp://, HXXP://, hXXp:// and HxxP:// before.
//   - An address behind a user and an @, behind a name and a colon, or before a port and an interface, is found, one before an arrow is no version, and what is
//     encoded in the text is found.
//   - The Kelvin sign and the long s are no longer letters of [ .] marks and of words like version: the old regular
//     expressions ignored case, and Unicode gives k and s a third one.
func comparable(text string) bool {
	if len(text) > maxScan || strings.ContainsAny(text, "\u017f\u212a") || behindUser.MatchString(text) || len(hidden(text)) > 0 {
		return false
	}
	return !strings.Contains(text, "xXp") && !strings.Contains(text, "xXP") && !strings.Contains(text, "Xxp") && !strings.Contains(text, "XxP")
}

// behindUser matches an address behind an @, in any of the ways to write these.
var behindUser = regexp.MustCompile(`(?i)(?:@|:|\[at\]|\[:\])[\])}]*(?:[0-9.]|::|[0-9a-f]*:)|-(?:>|&)|[0-9]:[0-9]+:`)

// fragments are what texts are put together from, to be scanned.
var fragments = strings.Split("http:// https:// ws:// ldap:// hxxp:// hXXps:// HXXP:// ftp HtTp:// jndi: a.example evil.example evil.com bad-cdn.ru "+
	"c2.attacker.xyz x.sh install.sh System.Net. WebClient.Net 8.8.8.8 1.2.3.4 192.31.196.66 10.0.0.1 :80 :99999 2620:4f:8000::bad ::1 ::ffff:8.8.4.4 1:2:3:4:5:6:7:8 "+
	"1:2:3:4:5:6:8.8.8.8 a@b.example anna@evil.com @ . .. : :: - _ + / // \\ \\\\ ( ) [ ] { } [.] (.) {.} [dot] (dot) [DOT] [. .] [:] [://] [@] [at] &amp; &amp;amp; &lt; &quot; \\/ "+
	"\" ' ` < > | ^ , ; = $ % # ? ! * 0123456789abcdef0123456789abcdef d41d8cd98f00b204e9800998ecf8427e 3f786850e387550fdab836ed7e6dc881de23001b sha256: MD5= commit object session id firmware: update upgrade rev revision= versions vers release tree parent guid nonce token "+
	"CVE-2021-44228 cve-2022-0001 CVE-20 version Version: version=\" v ver build from to From: release/ nginx/ ) é ü bücher.example b\u3002example \uff0e \uff61 “ ” « » \u00a0 \u2003 \u0085 рф xn--p1ai "+
	"a b c io co 0 1 9 com net org java. user.name os.name .arpa .local localhost failed.It ASP.NET command.com \xff \xc3 \x00 \x7f", " ")

// randomText returns a text of some fragments, with and without blanks between them, and with a few bytes changed.
func randomText(rng *rand.Rand) string {
	var b strings.Builder
	for range 1 + rng.IntN(12) {
		b.WriteString(fragments[rng.IntN(len(fragments))])
		if rng.IntN(3) == 0 {
			b.WriteString([]string{" ", " ", "\t", "\n", "  "}[rng.IntN(5)])
		}
	}
	text := []byte(b.String())
	for range rng.IntN(3) {
		text[rng.IntN(len(text))] = byte(rng.IntN(256)) //nolint:gosec // below 256
	}
	return string(text)
}

// TestScanIsAsBefore compares scan with the one that it replaced.
func TestScanIsAsBefore(t *testing.T) {
	texts := slices.Clone(lookAlikes)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 130_000 {
		texts = append(texts, randomText(rng))
	}
	compared, values := 0, 0
	for _, text := range texts {
		if !comparable(text) {
			continue
		}
		now, before := all(text)
		compared++
		values += len(before)
		if diff := cmp.Diff(before, now); diff != "" {
			t.Fatalf("%q (-before +now):\n%s", text, diff)
		}
	}
	if compared < 90_000 || values < 20_000 {
		t.Errorf("only %d texts with %d values were compared", compared, values)
	}
}

// FuzzScanIsAsBefore does so with any text.
func FuzzScanIsAsBefore(f *testing.F) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		f.Add(randomText(rng))
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !comparable(text) {
			return
		}
		now, before := all(text)
		if diff := cmp.Diff(before, now); diff != "" {
			t.Errorf("%q (-before +now):\n%s", text, diff)
		}
	})
}
