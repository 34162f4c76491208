package misptest

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// fold does to a value what MISP's database (utf8_unicode_ci) does when it compares: case, accents, width and
// blanks at the end do not count, and characters without a weight of their own, like a zero-width space, are not
// there at all.
func fold(s string) string {
	plain := strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Mn, unicode.Cf, unicode.Cc) {
			return -1
		}
		return unicode.ToLower(r)
	}, norm.NFKD.String(s))
	return strings.TrimRight(plain, " ")
}

// compress brings an IPv6 address into its short form, as MISP does on both sides; all else it leaves as it is.
// An IPv4 address in one of IPv6 stays there.
func compress(s string) string {
	if a, err := netip.ParseAddr(s); err == nil && a.Is6() {
		return a.String()
	}
	return s
}

// halves returns what of an attribute is compared: both halves of a composite type, never the two joined. The
// second half of all others is empty, and found by a question for nothing.
func halves(typ, value string) []string {
	first, second := value, ""
	if strings.Contains(typ, "|") || typ == "malware-sample" {
		first, second, _ = strings.Cut(value, "|")
	}
	return []string{fold(compress(first)), fold(compress(second))}
}

// A term is one thing that a value is compared with.
type term func(half string) bool

func never(string) bool { return false }

// text is a term for a text. One that begins or ends with % is a pattern.
func text(want string) term {
	if strings.HasPrefix(want, "%") || strings.HasSuffix(want, "%") {
		return like(want).MatchString
	}
	want = fold(compress(want))
	return func(half string) bool { return half == want }
}

// like turns a pattern of SQL's LIKE into one that does the same: % for any text, _ for any character, and \
// before one that stands for itself.
func like(pattern string) *regexp.Regexp {
	var b strings.Builder
	escaped := false
	for _, r := range fold(pattern) {
		switch {
		case escaped:
			b.WriteString(regexp.QuoteMeta(string(r)))
			escaped = false
		case r == '\\':
			escaped = true
		case r == '%':
			b.WriteString(".*")
		case r == '_':
			b.WriteString(".")
		default:
			b.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	return regexp.MustCompile("(?s)^" + b.String() + "$")
}

var leadingNumber = regexp.MustCompile(`^[+-]?[0-9]+(\.[0-9]+)?`)

// number is a term for a JSON number: the database compares with the digits that a value begins with, and takes
// none for 0.
func number(want float64) term {
	return func(half string) bool {
		n, err := strconv.ParseFloat(leadingNumber.FindString(half), 64)
		if err != nil {
			n = 0
		}
		return n == want
	}
}
