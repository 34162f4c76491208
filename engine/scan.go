package engine

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/publicsuffix"
)

// This file finds indicators in free text: command lines, script blocks, log messages. Text of that kind is full of
// what only looks like an indicator: file names whose extension is a top-level domain (install.sh), class names
// (System.Net), version numbers (Chrome/120.0.0.0), properties (user.name). A missed name costs a look-up, a wrong
// one costs trust, so a bare name has to show more than that its last label is a top-level domain.

const (
	maxScan  = 64 << 10 // bytes of a text that are scanned; Wazuh's alerts are no longer
	maxFound = 64       // values of one text
)

// scan calls yield with everything in text that looks like an indicator, of the type and normal form that its own
// form decides, once each. What a value is cut out of the text as is handed over too. It returns false if yield did.
func scan(text string, yield func(candidate string, t Type, value string, err error) bool) bool {
	if len(text) > maxScan {
		text = text[:maxScan]
	}
	text = plainText(strings.ToValidUTF8(text, " "))
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
		return yield(candidate, t, value, nil) && len(found) < maxFound
	}
	for at := 0; at < len(text); {
		if end, raw := urlAt(text, at); end > 0 {
			if u, err := normalURL(raw); err == nil && !report(raw, "url", u) {
				return len(found) >= maxFound
			}
			at = end
			continue
		}
		end := wordEnd(text, at)
		if end == at {
			_, size := utf8.DecodeRuneInString(text[at:])
			at += size
			continue
		}
		if t, value, ok := decideWord(text, at, end); ok && !report(text[at:end], t, value) {
			return len(found) >= maxFound
		}
		at = end
	}
	return true
}

var (
	defangedScheme = lazily(`(?i)\bhxxp(s?)(://|\[:\]//|\[://\]|:\\/\\/)`)
	escapedSlash   = strings.NewReplacer(`\/`, `/`)
	spelledDot     = lazily(`(?i)([a-z0-9])\s?(?:\[\.\]|\(\.\)|\{\.\}|\[dot\]|\(dot\)|\[\.|\.\])\s?([a-z0-9])`)
)

// plainText undoes what keeps indicators in a text from being clicked on, slashes escaped as in JSON, and entities of
// XML, which Wazuh leaves in Windows event data.
func plainText(text string) string {
	if strings.Contains(text, "&") {
		text = xmlEntities.Replace(text)
	}
	if strings.Contains(text, `\/`) {
		text = escapedSlash.Replace(text)
	}
	if fanged(text) {
		for range 2 { // neighbours share a letter
			text = spelledDot().ReplaceAllString(text, "$1.$2")
		}
		text = fangs.Replace(text)
	}
	if strings.Contains(text, "xxp") || strings.Contains(text, "XXP") || strings.Contains(text, "XXp") || strings.Contains(text, "xxP") {
		text = defangedScheme().ReplaceAllString(text, "http$1://")
	}
	return text
}

// fanged reports whether a bracket stands where one keeps an indicator from being clicked on: before or behind a dot,
// a colon, an @, or the word for it.
func fanged(text string) bool {
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

// schemes are those of URLs that are worth asking for.
var schemes = []string{"http", "https", "ftp", "ftps", "sftp", "tftp", "ws", "wss", "tcp", "udp", "ldap", "ldaps", "rmi", "smb", "ssh"}

// urlAt returns the end of a URL that begins at a place, and the URL; 0 if none does.
func urlAt(text string, at int) (end int, raw string) {
	if c := text[at] | 0x20; c < 'a' || c > 'z' || at > 0 && isWordByte(text[at-1]) && text[at-1] != '-' && text[at-1] != ':' {
		return 0, ""
	}
	colon := strings.Index(text[at:min(len(text), at+10)], "://")
	if colon < 0 || !slices.Contains(schemes, strings.ToLower(text[at:at+colon])) {
		return 0, ""
	}
	start := at + colon + len("://")
	for end = start; end < len(text); {
		r, size := utf8.DecodeRuneInString(text[end:])
		if unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune("\"'`<>|\\^{}", r) || strings.ContainsRune("“”‘’«»", r) {
			break
		}
		if strings.ContainsRune(",;", r) && schemeFollows(text[end+size:]) {
			break
		}
		end += size
	}
	raw = text[at:end]
	for trimmed := true; trimmed && len(raw) > 0; {
		trimmed = false
		switch last := raw[len(raw)-1]; {
		case strings.IndexByte(".,;:!?*", last) >= 0,
			last == ')' && strings.Count(raw, "(") < strings.Count(raw, ")"),
			last == ']' && strings.Count(raw, "[") < strings.Count(raw, "]"):
			raw, trimmed = raw[:len(raw)-1], true
		}
	}
	if len(raw) <= colon+len("://") {
		return 0, ""
	}
	return end, raw
}

func schemeFollows(text string) bool {
	colon := strings.Index(text[:min(len(text), 10)], "://")
	return colon > 0 && slices.Contains(schemes, strings.ToLower(text[:colon]))
}

// isWordByte reports whether a byte may be a part of an indicator other than a URL.
func isWordByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf || strings.IndexByte(".-_:@+", c) >= 0
}

// wordEnd returns the end of a word that begins at a place. A URL in it, as in jndi:ldap://…, is none of it.
func wordEnd(text string, at int) int {
	for at < len(text) && isWordByte(text[at]) {
		at++
		if at < len(text) && text[at-1] == ':' {
			if end, _ := urlAt(text, at); end > 0 {
				break
			}
		}
	}
	return at
}

// decideWord returns what the word text[start:end] is, with regard to what stands around it.
func decideWord(text string, start, end int) (Type, string, bool) {
	before, after := text[:start], text[end:]
	word := strings.TrimRight(text[start:end], ".:-+_")
	if word != text[start:end] {
		after = text[start+len(word):]
	}
	word = strings.TrimLeft(word, ".-:+")
	if len(word) < 4 || len(word) > 253 || strings.HasPrefix(word, "@") {
		return "", "", false
	}
	if a, err := parseIP(word); err == nil {
		if !isPublic(a) || a.Is4() && looksLikeVersion(a, before, after) || a.Is6() && !strings.ContainsAny(word, "0123456789") {
			return "", "", false
		}
		return "ip-dst", a.String(), true
	}
	if local, host, ok := strings.Cut(word, "@"); ok {
		host, _, _ = strings.Cut(host, ":")
		e, err := normalEmail(local + "@" + host)
		_, name, _ := strings.Cut(e, "@")
		if err != nil || !underPublicSuffix(name) || fileTLDs()[name[strings.LastIndexByte(name, '.')+1:]] {
			return "", "", false
		}
		return "email", e, true
	}
	if colon := strings.LastIndexByte(word, ':'); colon >= 0 {
		if head, tail := word[:colon], word[colon+1:]; strings.Trim(tail, "0123456789") == "" && len(tail) <= 5 { // a port
			word, after = head, ":"+tail+after
		} else { // sha256:ba6c…, host:evil.example
			before, word = before+head+":", tail
		}
	}
	if h, t, ok := scannedHash(word, before); ok {
		return t, h, true
	}
	if c, err := normalCVE(word); err == nil {
		return "vulnerability", c, true
	}
	host, err := normalHost(word)
	if err != nil || !isName(host, word, before, after) {
		return "", "", false
	}
	if registrable, err := publicsuffix.EffectiveTLDPlusOne(host); err == nil && registrable == host {
		return "domain", host, true
	}
	return "hostname", host, true
}

// scannedHash accepts hex of the length of MD5, SHA-1, SHA-256 or SHA-512 that is neither a number nor a word, and
// not the id of a commit.
func scannedHash(word, before string) (string, Type, bool) {
	t, ok := autoHashes[len(word)]
	if !ok || !slices.Contains([]int{32, 40, 64, 128}, len(word)) {
		return "", "", false
	}
	h, err := normalHash(word, len(word))
	if err != nil || !strings.ContainsAny(h, "0123456789") || !strings.ContainsAny(h, "abcdef") || commitBefore().MatchString(lastOf(before)) {
		return "", "", false
	}
	return h, t, true
}

var (
	commitBefore  = lazily(`(?i)(?:commit|revision|tree|parent|object|guid|uuid|session|nonce|token)\W{0,3}(?:id\W{0,3})?$`)
	versionBefore = lazily(`(?i)(?:\b(?:version|versions|vers|ver|v|build|release|revision|rev|update|upgrade|firmware|from|to)\b["']?\s*[:=]?\s*["'(]*|\bv|[a-z0-9_)]/|version["']?\s*[:=]\s*["']?)$`)
	versionWords  = lazily(`(?i)\b(?:from|to)\b["']?\s*[:=]?\s*["'(]*$`)
)

// lastOf returns the end of a text, as far as it can tell of what follows.
func lastOf(s string) string { return s[max(0, len(s)-24):] }

// looksLikeVersion reports whether four numbers between dots are those of a version or an object identifier.
func looksLikeVersion(a netip.Addr, before, after string) bool {
	b := a.As4()
	oid := b[0] == 1 && b[1] == 3 && b[2] == 6 && b[3] == 1 || b[0] == 2 && b[1] == 5 && (b[2] == 4 || b[2] == 29)
	near := lastOf(before)
	if versionWords().MatchString(near) { // "from 1.2.3.4" is an address far more often
		return oid
	}
	return oid || versionBefore().MatchString(near) || strings.HasPrefix(after, "-") || strings.HasPrefix(after, "+")
}

// isName reports whether a word that has the form of a host name is one. host is its normal form.
func isName(host, word, before, after string) bool {
	if !underPublicSuffix(host) || strings.Contains(host, "_") {
		return false
	}
	labels := strings.Split(host, ".")
	last, first := labels[len(labels)-1], labels[0]
	switch {
	case inPath(before), // a component of a path
		strings.HasSuffix(before, "$"), strings.HasSuffix(before, "%"), strings.HasSuffix(before, "::"), // a variable
		strings.HasPrefix(after, "("), strings.HasPrefix(after, "::"), strings.HasPrefix(after, "="), strings.HasPrefix(after, "$"),
		strings.HasPrefix(after, `\`) && !strings.HasSuffix(before, `\\`), // DOMAIN.EXAMPLE\user is the site's own
		strings.HasSuffix(before, "[") && strings.HasPrefix(after, "]") && !strings.Contains(word, "-"),
		codeWords()[first], dosPrograms()[host],
		len(labels) > 2 && packageRoots()[first]:
		return false
	}
	if endsLikeSentence(word) {
		return false
	}
	if isClassName(word) && !plainTLDs()[last] || isClassName(word) && last == "net" {
		return false
	}
	switch {
	case plainTLDs()[last]:
		return true
	case fileTLDs()[last]:
		return false
	case fileOrCountry()[last]:
		return len(labels) > 2
	case len(last) == 2 || strings.HasPrefix(last, "xn--"):
		return len(labels) > 2 || len(first) > 2
	}
	// A top-level domain that is also a word: properties of objects look like this.
	return len(labels) > 2 || strings.ContainsAny(first, "-0123456789") || len(first) > 11
}

// inPath reports whether what follows is a component of a path. Two slashes or backslashes before a name make it a
// host: //evil.example/x, \\evil.example\share.
func inPath(before string) bool {
	trimmed := strings.TrimRight(before, `/\`)
	n := len(before) - len(trimmed)
	if n == 0 {
		return false
	}
	if n >= 2 && (trimmed == "" || strings.IndexByte(" \t\n\"'=(,;@", trimmed[len(trimmed)-1]) >= 0) {
		return false
	}
	return true
}

// isClassName reports whether every label begins with a capital that a small letter follows: System.Net.WebClient.
func isClassName(word string) bool {
	for label := range strings.SplitSeq(word, ".") {
		if len(label) < 2 || label[0] < 'A' || label[0] > 'Z' || !strings.ContainsAny(label[1:], "abcdefghijklmnopqrstuvwxyz") {
			return strings.EqualFold(word, "asp.net")
		}
	}
	return true
}

// endsLikeSentence reports whether a word is the end of one sentence and the beginning of the next: failed.It
func endsLikeSentence(word string) bool {
	i := strings.LastIndexByte(word, '.')
	if i <= 0 || i+1 >= len(word) {
		return false
	}
	capital := func(c byte) bool { return c >= 'A' && c <= 'Z' }
	return capital(word[i+1]) && !capital(word[i-1]) && !capital(word[0])
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

var (
	// plainTLDs are no words of programs and no extensions of files: a name below one of them is a name.
	plainTLDs = setOf(`com net org edu gov mil int info biz pro mobi xyz icu cyou buzz example onion ru cn su ua by kz de fr uk
		eu us ca br mx ar jp kr tw hk sg vn th ph au nz za ng ke eg tr ir il ae sa nl be ch it es pt gr se no fi
		dk cz sk hu ro bg hr si lt lv ee io co tk ga cf gq pw ws tv nu`)
	// fileTLDs are top-level domains that are first of all extensions of files, or names of properties.
	fileTLDs = setOf(`sh py so md zip mov app ps cab cat pub bar box map dot win run one page pages docs tf mk la ac am do ax
		pm ms vi st cr cl mm bz tm nc sc gs name target style date open link host services properties media tools security
		management network data report support events log search software systems computer center works build call
		foundation java science codes audio video pictures photo photos graphics hm lc gd js`)
	// fileOrCountry are both, or words of sentences whose blank is missing: with three labels a name is taken for one.
	fileOrCountry = setOf(`pl in ml cc rs me ai as is at id my to`)
	// codeWords begin expressions of programs, not names.
	codeWords = setOf(`java javax jdk sun kotlin scala groovy android androidx system this self window document object obj event events
		evt process sys os args argv env config console math json string array node module exports require request response req res
		ctx user file path item data value result session app config params options settings element el parent child root index
		http https url uri host server client socket net log logger logging import from select class type name e i x a n s o t d f`)
	// packageRoots begin names of packages, written from the top-level domain down.
	packageRoots = setOf(`com org net io edu gov de uk fr cn ru jp me dev app co`)
	// dosPrograms are the programs of Windows that end in .com.
	dosPrograms = setOf(`command.com format.com mode.com more.com tree.com chcp.com diskcomp.com diskcopy.com edit.com graftabl.com
		kb16.com loadfix.com win.com sys.com keyb.com debug.com doskey.com ntdetect.com winrm.com cmd.com`)
)
