package engine

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// This file finds indicators in free text: command lines, script blocks, log messages. Such text is full of what only
// looks like an indicator: file names whose extension is a top-level domain (install.sh), class names (System.Net),
// version numbers (Chrome/120.0.0.0), properties (user.name). A missed name costs one look-up, a wrong name costs
// trust. So scan takes a bare name only if more speaks for it than its last label: see scan_names.go.

const (
	maxScan  = 64 << 10 // bytes of a text that are scanned; Wazuh's alerts are no longer
	maxFound = 64       // values of one text
)

// scan calls yield with everything in text that looks like an indicator, once each, with the type and normal form that
// its own form decides. candidate is the part of the text that the value was read from. It returns false if yield did.
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
		if t, value, ok := wordAt(text, at, end).indicator(); ok && !report(text[at:end], t, value) {
			return len(found) >= maxFound
		}
		at = end
	}
	return true
}

// schemes are those of URLs that scan takes.
var schemes = []string{"http", "https", "ftp", "ftps", "sftp", "tftp", "ws", "wss", "tcp", "udp", "ldap", "ldaps", "rmi", "smb", "ssh"}

// longestScheme is how many bytes before :// are looked at.
const longestScheme = 7

// urlAt returns the URL that begins at a place of text, without the punctuation behind it, and where the text goes on;
// 0 if no URL begins there.
func urlAt(text string, at int) (end int, url string) {
	if c := text[at] | 0x20; c < 'a' || c > 'z' {
		return 0, ""
	}
	if at > 0 && isWordByte(text[at-1]) && text[at-1] != '-' && text[at-1] != ':' {
		return 0, "" // inside a word
	}
	head := schemeLen(text[at:])
	if head == 0 {
		return 0, ""
	}
	end = urlEnd(text, at+head)
	url = withoutPunctuation(text[at:end])
	if len(url) <= head {
		return 0, ""
	}
	return end, url
}

// schemeLen returns the length of the scheme and the :// that a text begins with; 0 if it begins with no known one.
func schemeLen(text string) int {
	colon := strings.Index(text[:min(len(text), longestScheme+len("://"))], "://")
	if colon < 0 || !slices.Contains(schemes, strings.ToLower(text[:colon])) {
		return 0
	}
	return colon + len("://")
}

// urlEnd returns where a URL ends that goes on at a place: at a character that is never in a URL, or at a comma or
// semicolon before the next URL.
func urlEnd(text string, at int) int {
	for at < len(text) {
		r, size := utf8.DecodeRuneInString(text[at:])
		switch {
		case unicode.IsSpace(r), unicode.IsControl(r), strings.ContainsRune("\"'`<>|\\^{}“”‘’«»", r):
			return at
		case (r == ',' || r == ';') && schemeLen(text[at+size:]) > 0:
			return at
		}
		at += size
	}
	return at
}

// withoutPunctuation takes off what ends a sentence, and brackets that close more than the URL opens.
func withoutPunctuation(url string) string {
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

// isWordByte reports whether a byte may be a part of an indicator other than a URL.
func isWordByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf || strings.IndexByte(".-_:@+", c) >= 0
}

// wordEnd returns the end of the word that begins at a place. A URL that follows a colon, as in jndi:ldap://…, is not
// a part of the word.
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
