package engine

import (
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"
)

// A word is a part of a text that may be an indicator, with the text around it.
type word struct {
	before string // the text before it, without the prefix
	prefix string // what withoutPort took off before it
	text   string
	after  string // the text behind it
}

// wordAt returns the word text[start:end], without the punctuation at its ends.
func wordAt(text string, start, end int) word {
	core := strings.TrimRight(text[start:end], ".:-+_")
	after := text[start+len(core):]
	return word{before: text[:start], text: strings.TrimLeft(core, ".-:+"), after: after}
}

// indicator returns what the word is: an address, an e-mail address, a hash, a CVE id or a name; false if it is none.
func (w word) indicator() (Type, string, bool) {
	if len(w.text) < 4 || len(w.text) > 253 || w.text[0] == '@' {
		return "", "", false
	}
	f := formOf(w.text)
	if a, ok := f.address(w.text); ok {
		if !w.isAddress(a) {
			return "", "", false
		}
		return "ip-dst", a.String(), true
	}
	if f.ats > 0 {
		if t, e, ok := w.email(); ok {
			return t, e, true
		}
		return w.addressBehindUser()
	}
	if a, ok := f.beginsWithAddress(w.text); ok {
		return "ip-dst", a.String(), w.isAddress(a)
	}
	for range 2 { // a name before an address with a port
		if f.colons == 0 {
			break
		}
		w = w.withoutPort()
		f = formOf(w.text)
		if a, ok := f.address(w.text); ok {
			return "ip-dst", a.String(), w.isAddress(a)
		}
	}
	if f.seen&^(isDigit|isHex|inWord) == 0 && f.seen&isDigit != 0 && f.seen&isHex != 0 {
		if t, h, ok := w.hash(); ok {
			return t, h, true
		}
	}
	if c, err := normalCVE(w.text); err == nil {
		return "vulnerability", c, true
	}
	if f.seen&isMark == 0 || f.seen&noName != 0 {
		return "", "", false // most words
	}
	return w.name()
}

// A form is what the bytes of a word say about it.
type form struct {
	seen              class
	dots, colons, ats int
}

func formOf(text string) (f form) {
	for i := range len(text) {
		c := text[i]
		f.seen |= classes[c]
		switch c {
		case '.':
			f.dots++
		case ':':
			f.colons++
		case '@':
			f.ats++
		}
	}
	return f
}

// address returns the address that a word of this form is, without a port; false if it is none. It is parseIP, which
// takes much longer to say no.
func (f form) address(text string) (netip.Addr, bool) {
	digits := f.seen&(isOther|isHex) == 0
	switch {
	case f.ats > 0 || f.seen&isOther != 0:
		return netip.Addr{}, false
	case f.dots == 3 && f.colons <= 1 && digits:
	case f.colons == 7, f.colons == 6 && f.dots == 3, f.colons >= 2 && f.colons < 7 && strings.Contains(text, "::"):
	default:
		return netip.Addr{}, false
	}
	a, err := parseIP(text)
	return a, err == nil
}

// beginsWithAddress returns the address before a port and an interface, as firewalls write 192.0.2.1:443:X1.
func (f form) beginsWithAddress(text string) (netip.Addr, bool) {
	if f.colons != 2 || f.dots != 3 {
		return netip.Addr{}, false
	}
	head, rest, _ := strings.Cut(text, ":")
	port, _, _ := strings.Cut(rest, ":")
	if !isIPv4(head) || port == "" || !isDigits(port) {
		return netip.Addr{}, false
	}
	a, err := parseIP(head)
	return a, err == nil
}

// isAddress reports whether a word with the form of an address is a public one, and not a version or a name of code.
func (w word) isAddress(a netip.Addr) bool {
	if a.Is4() {
		return isPublic(a) && !w.looksLikeVersion(a)
	}
	return isPublic(a) && strings.ContainsAny(w.text, "0123456789") // Face::Add is no address
}

// email returns the e-mail address that the word is, without what follows a colon.
func (w word) email() (Type, string, bool) {
	local, domain, _ := strings.Cut(w.text, "@")
	domain, _, _ = strings.Cut(domain, ":")
	if local == "" || strings.IndexByte(domain, '.') < 0 && isASCII(domain) {
		return "", "", false
	}
	e, err := normalEmail(local + "@" + domain)
	if err != nil {
		return "", "", false
	}
	_, host, _ := strings.Cut(e, "@")
	return "email", e, endings()[host[strings.LastIndexByte(host, '.')+1:]] != fileEnding && underPublicSuffix(host)
}

// addressBehindUser returns the address of root@192.0.2.1, as programs name a user and where they come from.
func (w word) addressBehindUser() (Type, string, bool) {
	at := strings.LastIndexByte(w.text, '@')
	behind := word{before: w.before, prefix: w.text[:at+1], text: w.text[at+1:], after: w.after}
	if a, ok := formOf(behind.text).address(behind.text); ok && behind.isAddress(a) {
		return "ip-dst", a.String(), true
	}
	return "", "", false
}

// withoutPort takes off a port behind the last colon, or what is before that: sha256:ba6c…, host:evil.example.
func (w word) withoutPort() word {
	colon := strings.LastIndexByte(w.text, ':')
	head, tail := w.text[:colon], w.text[colon+1:]
	if len(tail) <= len("65535") && isDigits(tail) {
		return word{before: w.before, text: head, after: w.text[colon:]}
	}
	return word{before: w.before, prefix: w.text[:colon+1], text: tail, after: w.after}
}

// hash accepts hex of the length of MD5, SHA-1, SHA-256 or SHA-512 that is neither a number nor a word, and not the id
// of a commit.
func (w word) hash() (Type, string, bool) {
	switch len(w.text) {
	case 32, 40, 64, 128:
	default:
		return "", "", false
	}
	h, err := normalHash(w.text, len(w.text))
	if err != nil || isCommit(w.near()) {
		return "", "", false
	}
	return autoHashes[len(h)], h, true
}

// nearby is how many bytes before a word decide whether it is a version or the id of a commit.
const nearby = 24

// near returns the last bytes before the word.
func (w word) near() string {
	if len(w.prefix) >= nearby || w.prefix == "" {
		before := w.before
		if w.prefix != "" {
			before = w.prefix
		}
		return before[max(0, len(before)-nearby):]
	}
	rest := nearby - len(w.prefix)
	return w.before[max(0, len(w.before)-rest):] + w.prefix
}

// isCommit reports whether the text before a hash calls it the id of a commit, of a session or the like: a word for it, up
// to three characters, perhaps id and up to three more.
func isCommit(near string) bool {
	for range 4 {
		if endsInID(near) {
			return true
		}
		if head, ok := cutSuffixFold(near, "id"); ok {
			for range 4 {
				if endsInID(head) {
					return true
				}
				if head, ok = cutNonWord(head); !ok {
					break
				}
			}
		}
		var ok bool
		if near, ok = cutNonWord(near); !ok {
			return false
		}
	}
	return false
}

func endsInID(s string) bool {
	for _, id := range []string{"commit", "revision", "tree", "parent", "object", "guid", "uuid", "session", "nonce", "token"} {
		if _, ok := cutSuffixFold(s, id); ok {
			return true
		}
	}
	return false
}

// looksLikeVersion reports whether four numbers between dots are those of a version or an object identifier.
func (w word) looksLikeVersion(a netip.Addr) bool {
	b := a.As4()
	if b[0] == 1 && b[1] == 3 && b[2] == 6 && b[3] == 1 || b[0] == 2 && b[1] == 5 && (b[2] == 4 || b[2] == 29) {
		return true // an object identifier
	}
	near := w.near()
	switch lastWord(near) {
	case "from", "to": // "from 1.2.3.4" is an address far more often
		return false
	case "version", "versions", "vers", "ver", "v", "build", "release", "revision", "rev", "update", "upgrade", "firmware":
		return true
	}
	if strings.HasPrefix(w.after, "-") && !strings.HasPrefix(w.after, "->") || strings.HasPrefix(w.after, "+") {
		return true
	}
	if program, ok := strings.CutSuffix(near, "/"); ok && program != "" {
		c := program[len(program)-1]
		return isWordChar(c) || c == ')'
	}
	return isVersionValue(near)
}

// lastWord returns the last word of a text in lower case, which quotes, blanks, one colon or = and brackets may follow, as
// in version="(
func lastWord(s string) string {
	s = strings.TrimRight(s, `"'(`)
	s = strings.TrimRight(s, blanks)
	if n := len(s); n > 0 && (s[n-1] == ':' || s[n-1] == '=') {
		s = strings.TrimRight(s[:n-1], blanks)
	}
	s = cutQuote(s)
	begin := len(s)
	for begin > 0 && isWordChar(s[begin-1]) {
		begin--
	}
	if len(s)-begin > len("versions") {
		return ""
	}
	return strings.ToLower(s[begin:])
}

// isVersionValue reports whether a text ends like appVersion: or app_version="
func isVersionValue(s string) bool {
	s = strings.TrimRight(cutQuote(s), blanks)
	n := len(s)
	if n == 0 || s[n-1] != ':' && s[n-1] != '=' {
		return false
	}
	_, ok := cutSuffixFold(cutQuote(strings.TrimRight(s[:n-1], blanks)), "version")
	return ok
}

// blanks are what is between words.
const blanks = "\t\n\f\r "

// cutQuote takes off a quote at the end.
func cutQuote(s string) string {
	if n := len(s); n > 0 && (s[n-1] == '"' || s[n-1] == '\'') {
		return s[:n-1]
	}
	return s
}

// cutSuffixFold is strings.CutSuffix without regard to case.
func cutSuffixFold(s, suffix string) (string, bool) {
	n := len(s) - len(suffix)
	if n < 0 || !strings.EqualFold(s[n:], suffix) {
		return s, false
	}
	return s[:n], true
}

// cutNonWord takes off the last character if it is no letter, digit or _.
func cutNonWord(s string) (string, bool) {
	if s == "" || isWordChar(s[len(s)-1]) {
		return s, false
	}
	_, size := utf8.DecodeLastRuneInString(s)
	return s[:len(s)-size], true
}

// isWordChar reports whether a byte is a letter, a digit or _.
func isWordChar(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' && c < 0x80
}

// lazily compiles a regular expression when it is first needed: most calls by integratord need none.
func lazily(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

// setOf returns words as a set, made when it is first needed.
func setOf(words string) func() map[string]bool {
	return sync.OnceValue(func() map[string]bool {
		m := map[string]bool{}
		for w := range strings.FieldsSeq(words) {
			m[w] = true
		}
		return m
	})
}
