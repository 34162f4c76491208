package engine

import (
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// This file keeps the scan that the one in scan.go replaced, word for word but for its names and its bounds: it takes
// every value. Tests compare the two; see TestScanIsAsBefore.

var (
	oldPlainTLDs     = setOf(plainTLDs)
	oldFileTLDs      = setOf(fileTLDs)
	oldFileOrCountry = setOf(fileOrCountry)
)

func oldScan(text string, yield func(candidate string, t Type, value string, err error) bool) bool {
	text = oldPlainText(strings.ToValidUTF8(text, " "))
	var found map[Indicator]bool
	report := func(candidate string, t Type, value string) bool {
		i := Indicator{t.Family(), strings.ToLower(value)}
		if found[i] {
			return true
		}
		if found == nil {
			found = map[Indicator]bool{}
		}
		found[i] = true
		return yield(candidate, t, value, nil)
	}
	for at := 0; at < len(text); {
		if end, raw := oldURLAt(text, at); end > 0 {
			if u, err := normalURL(raw); err == nil && !report(raw, "url", u) {
				return false
			}
			at = end
			continue
		}
		end := oldWordEnd(text, at)
		if end == at {
			_, size := utf8.DecodeRuneInString(text[at:])
			at += size
			continue
		}
		if t, value, ok := oldWordAt(text, at, end).indicator(); ok && !report(text[at:end], t, value) {
			return false
		}
		at = end
	}
	return true
}

var oldSchemes = []string{"http", "https", "ftp", "ftps", "sftp", "tftp", "ws", "wss", "tcp", "udp", "ldap", "ldaps", "rmi", "smb", "ssh"}

const oldLongestScheme = 7

func oldURLAt(text string, at int) (end int, url string) {
	if c := text[at] | 0x20; c < 'a' || c > 'z' {
		return 0, ""
	}
	if at > 0 && oldIsWordByte(text[at-1]) && text[at-1] != '-' && text[at-1] != ':' {
		return 0, "" // inside a word
	}
	head := oldSchemeLen(text[at:])
	if head == 0 {
		return 0, ""
	}
	end = oldURLEnd(text, at+head)
	url = oldWithoutPunctuation(text[at:end])
	if len(url) <= head {
		return 0, ""
	}
	return end, url
}

func oldSchemeLen(text string) int {
	colon := strings.Index(text[:min(len(text), oldLongestScheme+len("://"))], "://")
	if colon < 0 || !slices.Contains(oldSchemes, strings.ToLower(text[:colon])) {
		return 0
	}
	return colon + len("://")
}

func oldURLEnd(text string, at int) int {
	for at < len(text) {
		r, size := utf8.DecodeRuneInString(text[at:])
		switch {
		case unicode.IsSpace(r), unicode.IsControl(r), strings.ContainsRune("\"'`<>|\\^{}“”‘’«»", r):
			return at
		case (r == ',' || r == ';') && oldSchemeLen(text[at+size:]) > 0:
			return at
		}
		at += size
	}
	return at
}

func oldWithoutPunctuation(url string) string {
	round := strings.Count(url, ")") - strings.Count(url, "(")
	square := strings.Count(url, "]") - strings.Count(url, "[")
	for url != "" {
		switch last := url[len(url)-1]; {
		case strings.IndexByte(".,;:!?*", last) >= 0:
		case last == ')' && round > 0:
			round--
		case last == ']' && square > 0:
			square--
		default:
			return url
		}
		url = url[:len(url)-1]
	}
	return url
}

func oldIsWordByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf || strings.IndexByte(".-_:@+", c) >= 0
}

func oldWordEnd(text string, at int) int {
	for at < len(text) && oldIsWordByte(text[at]) {
		at++
		if at < len(text) && text[at-1] == ':' {
			if end, _ := oldURLAt(text, at); end > 0 {
				break
			}
		}
	}
	return at
}

type oldWord struct{ before, text, after string }

func oldWordAt(text string, start, end int) oldWord {
	core := strings.TrimRight(text[start:end], ".:-+_")
	after := text[start+len(core):]
	return oldWord{text[:start], strings.TrimLeft(core, ".-:+"), after}
}

func (w oldWord) indicator() (Type, string, bool) {
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

func (w oldWord) isAddress(a netip.Addr) bool {
	if !isPublic(a) {
		return false
	}
	if a.Is4() {
		return !w.looksLikeVersion(a)
	}
	return strings.ContainsAny(w.text, "0123456789") // Face::Add is no address
}

func (w oldWord) email() (Type, string, bool) {
	local, domain, _ := strings.Cut(w.text, "@")
	domain, _, _ = strings.Cut(domain, ":")
	e, err := normalEmail(local + "@" + domain)
	if err != nil {
		return "", "", false
	}
	_, host, _ := strings.Cut(e, "@")
	return "email", e, underPublicSuffix(host) && !oldFileTLDs()[host[strings.LastIndexByte(host, '.')+1:]]
}

func (w oldWord) withoutPort() oldWord {
	colon := strings.LastIndexByte(w.text, ':')
	if colon < 0 {
		return w
	}
	head, tail := w.text[:colon], w.text[colon+1:]
	if len(tail) <= len("65535") && isDigits(tail) {
		return oldWord{w.before, head, ":" + tail}
	}
	return oldWord{oldLastOf(w.before) + head + ":", tail, w.after}
}

func (w oldWord) hash() (Type, string, bool) {
	t, ok := autoHashes[len(w.text)]
	if !ok || !slices.Contains([]int{32, 40, 64, 128}, len(w.text)) {
		return "", "", false
	}
	h, err := normalHash(w.text, len(w.text))
	if err != nil || !strings.ContainsAny(h, "0123456789") || !strings.ContainsAny(h, "abcdef") {
		return "", "", false
	}
	return t, h, !oldCommitBefore().MatchString(oldLastOf(w.before))
}

var (
	oldCommitBefore  = lazily(`(?i)(?:commit|revision|tree|parent|object|guid|uuid|session|nonce|token)\W{0,3}(?:id\W{0,3})?$`)
	oldVersionBefore = lazily(`(?i)(?:\b(?:version|versions|vers|ver|v|build|release|revision|rev|update|upgrade|firmware|from|to)\b["']?\s*[:=]?\s*["'(]*|\bv|[a-z0-9_)]/|version["']?\s*[:=]\s*["']?)$`)
	oldFromBefore    = lazily(`(?i)\b(?:from|to)\b["']?\s*[:=]?\s*["'(]*$`)
)

func oldLastOf(s string) string { return s[max(0, len(s)-24):] }

func (w oldWord) looksLikeVersion(a netip.Addr) bool {
	b := a.As4()
	oid := b[0] == 1 && b[1] == 3 && b[2] == 6 && b[3] == 1 || b[0] == 2 && b[1] == 5 && (b[2] == 4 || b[2] == 29)
	near := oldLastOf(w.before)
	if oid || oldFromBefore().MatchString(near) { // "from 1.2.3.4" is an address far more often
		return oid
	}
	return oldVersionBefore().MatchString(near) || strings.HasPrefix(w.after, "-") || strings.HasPrefix(w.after, "+")
}

func (w oldWord) isName(host string) bool {
	if !underPublicSuffix(host) || strings.Contains(host, "_") || w.isPartOfPath() || w.isPartOfCode() || w.joinsSentences() {
		return false
	}
	labels := strings.Split(host, ".")
	if oldBeginsLikeCode(host, labels) || (labels[len(labels)-1] == "net" || !oldPlainTLDs()[labels[len(labels)-1]]) && isClassName(w.text) {
		return false
	}
	return oldLastLabelFits(labels)
}

func (w oldWord) isPartOfPath() bool {
	outside := strings.TrimRight(w.before, `/\`)
	slashes := len(w.before) - len(outside)
	if slashes == 0 {
		return false
	}
	begins := outside == "" || strings.IndexByte(" \t\n\"'=(,;@", outside[len(outside)-1]) >= 0
	return slashes == 1 || !begins
}

func (w oldWord) isPartOfCode() bool {
	for _, variable := range []string{"$", "%", "::"} {
		if strings.HasSuffix(w.before, variable) {
			return true
		}
	}
	for _, operator := range []string{"(", "::", "=", "$"} {
		if strings.HasPrefix(w.after, operator) {
			return true
		}
	}
	if strings.HasPrefix(w.after, `\`) && !strings.HasSuffix(w.before, `\\`) {
		return true // DOMAIN.EXAMPLE\user is the site's own
	}
	return strings.HasSuffix(w.before, "[") && strings.HasPrefix(w.after, "]") && !strings.Contains(w.text, "-")
}

func (w oldWord) joinsSentences() bool {
	i := strings.LastIndexByte(w.text, '.')
	if i <= 0 || i+1 >= len(w.text) {
		return false
	}
	return isCapital(w.text[i+1]) && !isCapital(w.text[i-1]) && !isCapital(w.text[0])
}

func oldBeginsLikeCode(host string, labels []string) bool {
	return codeWords()[labels[0]] || dosPrograms()[host] || len(labels) > 2 && packageRoots()[labels[0]]
}

func oldLastLabelFits(labels []string) bool {
	first, last := labels[0], labels[len(labels)-1]
	switch {
	case oldPlainTLDs()[last]:
		return true
	case oldFileTLDs()[last]:
		return false
	case oldFileOrCountry()[last]:
		return len(labels) > 2
	case len(last) == 2 || strings.HasPrefix(last, "xn--"):
		return len(labels) > 2 || len(first) > 2
	}
	// A top-level domain that is also a word: properties of objects look like this.
	return len(labels) > 2 || strings.ContainsAny(first, "-0123456789") || len(first) > 11
}

var (
	oldDefangedScheme = lazily(`(?i)\bhxxp(s?)(://|\[:\]//|\[://\]|:\\/\\/)`)
	oldEscapedSlash   = strings.NewReplacer(`\/`, `/`)
	oldDefangedDot    = lazily(`(?i)([a-z0-9])\s?(?:\[\.\]|\(\.\)|\{\.\}|\[dot\]|\(dot\)|\[\.|\.\])\s?([a-z0-9])`)
)

func oldPlainText(text string) string {
	if strings.Contains(text, "&") {
		text = xmlEntities.Replace(text)
	}
	if strings.Contains(text, `\/`) {
		text = oldEscapedSlash.Replace(text)
	}
	if oldHasDefangedMark(text) {
		for range 2 { // neighbours share a letter
			text = oldDefangedDot().ReplaceAllString(text, "$1.$2")
		}
		text = fangs().Replace(text)
	}
	if strings.Contains(text, "xxp") || strings.Contains(text, "XXP") || strings.Contains(text, "XXp") || strings.Contains(text, "xxP") {
		text = oldDefangedScheme().ReplaceAllString(text, "http$1://")
	}
	return text
}

func oldHasDefangedMark(text string) bool {
	for i := range len(text) {
		switch text[i] {
		case '[', '(', '{':
			if i+1 < len(text) && strings.IndexByte(".:@dDaA", text[i+1]) >= 0 {
				return true
			}
		case ']':
			if i > 0 && text[i-1] == '.' {
				return true
			}
		}
	}
	return false
}
