package engine

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// A word is a part of a text that may be an indicator, with the text around it.
type word struct{ before, text, after string }

// wordAt returns the word text[start:end], without the punctuation at its ends.
func wordAt(text string, start, end int) word {
	core := strings.TrimRight(text[start:end], ".:-+_")
	after := text[start+len(core):]
	return word{text[:start], strings.TrimLeft(core, ".-:+"), after}
}

// indicator returns what the word is: an address, an e-mail address, a hash, a CVE id or a name; false if it is none.
func (w word) indicator() (Type, string, bool) {
	if len(w.text) < 4 || len(w.text) > 253 || w.text[0] == '@' {
		return "", "", false
	}
	if a, err := parseIP(w.text); err == nil {
		return "ip-dst", a.String(), w.isAddress(a)
	}
	if strings.Contains(w.text, "@") {
		return w.email()
	}
	w = w.withoutPort()
	if t, h, ok := w.hash(); ok {
		return t, h, true
	}
	if c, err := normalCVE(w.text); err == nil {
		return "vulnerability", c, true
	}
	if strings.IndexByte(w.text, '.') < 0 && isASCII(w.text) {
		return "", "", false // most words
	}
	host, err := normalHost(w.text)
	if err != nil || !w.isName(host) {
		return "", "", false
	}
	return typeOfHost(host), host, true
}

// isAddress reports whether a word with the form of an address is a public one, and not a version or a name of code.
func (w word) isAddress(a netip.Addr) bool {
	if !isPublic(a) {
		return false
	}
	if a.Is4() {
		return !w.looksLikeVersion(a)
	}
	return strings.ContainsAny(w.text, "0123456789") // Face::Add is no address
}

// email returns the e-mail address that the word is, without what follows a colon.
func (w word) email() (Type, string, bool) {
	local, domain, _ := strings.Cut(w.text, "@")
	domain, _, _ = strings.Cut(domain, ":")
	e, err := normalEmail(local + "@" + domain)
	if err != nil {
		return "", "", false
	}
	_, host, _ := strings.Cut(e, "@")
	return "email", e, underPublicSuffix(host) && !fileTLDs()[host[strings.LastIndexByte(host, '.')+1:]]
}

// withoutPort takes off a port behind the last colon, or what is before that: sha256:ba6c…, host:evil.example. It copies
// only as much of the text around the word as the decisions look at.
func (w word) withoutPort() word {
	colon := strings.LastIndexByte(w.text, ':')
	if colon < 0 {
		return w
	}
	head, tail := w.text[:colon], w.text[colon+1:]
	if len(tail) <= len("65535") && isDigits(tail) {
		return word{w.before, head, ":" + tail}
	}
	return word{lastOf(w.before) + head + ":", tail, w.after}
}

// hash accepts hex of the length of MD5, SHA-1, SHA-256 or SHA-512 that is neither a number nor a word, and not the id
// of a commit.
func (w word) hash() (Type, string, bool) {
	t, ok := autoHashes[len(w.text)]
	if !ok || !slices.Contains([]int{32, 40, 64, 128}, len(w.text)) {
		return "", "", false
	}
	h, err := normalHash(w.text, len(w.text))
	if err != nil || !strings.ContainsAny(h, "0123456789") || !strings.ContainsAny(h, "abcdef") {
		return "", "", false
	}
	return t, h, !commitBefore().MatchString(lastOf(w.before))
}

var (
	commitBefore  = lazily(`(?i)(?:commit|revision|tree|parent|object|guid|uuid|session|nonce|token)\W{0,3}(?:id\W{0,3})?$`)
	versionBefore = lazily(`(?i)(?:\b(?:version|versions|vers|ver|v|build|release|revision|rev|update|upgrade|firmware|from|to)\b["']?\s*[:=]?\s*["'(]*|\bv|[a-z0-9_)]/|version["']?\s*[:=]\s*["']?)$`)
	fromBefore    = lazily(`(?i)\b(?:from|to)\b["']?\s*[:=]?\s*["'(]*$`)
)

// lastOf returns the end of a text: as much as the expressions above look at.
func lastOf(s string) string { return s[max(0, len(s)-24):] }

// looksLikeVersion reports whether four numbers between dots are those of a version or an object identifier.
func (w word) looksLikeVersion(a netip.Addr) bool {
	b := a.As4()
	oid := b[0] == 1 && b[1] == 3 && b[2] == 6 && b[3] == 1 || b[0] == 2 && b[1] == 5 && (b[2] == 4 || b[2] == 29)
	near := lastOf(w.before)
	if oid || fromBefore().MatchString(near) { // "from 1.2.3.4" is an address far more often
		return oid
	}
	return versionBefore().MatchString(near) || strings.HasPrefix(w.after, "-") || strings.HasPrefix(w.after, "+")
}

// lazily compiles a regular expression when it is first needed: most calls by integratord end without a scan.
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
