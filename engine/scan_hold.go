package engine

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/publicsuffix"
)

// This file decides quickly that a text holds nothing that scan would take: so it is with most texts of most alerts. It looks
// at the bytes that an indicator needs, which the standard library finds many at a time: a dot between two letters or digits,
// a run of hexadecimal, colons of an IPv6 address, CVE-, and the marks of what is defanged or encoded.

// A holding says how likely it is that a text holds something.
type holding uint8

const (
	holdsNothing holding = iota
	holdsNamed           // something that a pick of its type may take, if the name of the member says what it is
	holdsPlain           // something that scan may find
)

// mayHold reports whether scan may find something in a text. A text may be as it is written in JSON too.
func mayHold(text string) bool { return holdingOf(text) == holdsPlain }

// holdingOf returns what a text may hold: addresses, names, URLs, e-mail addresses, hashes and CVE ids. Of a text that holds
// nothing, a pick of one of these types takes nothing.
func holdingOf(text string) holding {
	if len(text) < 4 {
		return holdsNothing
	}
	named := mayHoldName(text)
	if named == holdsPlain || mayHoldHash(text) || mayHoldIPv6(text) || mayHoldMark(text) {
		return holdsPlain
	}
	return named
}

// mayHoldName reports whether a dot may be one of an address or a name, also in a URL or an e-mail address.
func mayHoldName(text string) holding {
	most := holdsNothing
	for at := 0; ; {
		i := strings.IndexByte(text[at:], '.')
		if i < 0 {
			return most
		}
		at += i
		begin, end := at, at+1
		for begin > 0 && isNameByte(text[begin-1]) {
			begin--
		}
		for end < len(text) && isNameByte(text[end]) {
			end++
		}
		if begin > 0 && text[begin-1] == '\\' { // an escape of JSON
			begin = afterEscape(text, begin)
		}
		switch {
		case isFang(text, at):
			return holdsPlain
		case begin >= at:
			at++
			continue
		case end == at+1:
		case isBehindHostMark(text[:begin]) && mayBeHost(text[begin:end]):
			return holdsPlain
		default:
			most = max(most, mayBeName(text[begin:end]))
		}
		if most == holdsPlain {
			return most
		}
		at = max(end, at+1)
	}
}

// isNameByte reports whether a byte can be in a name or an IPv4 address.
func isNameByte(c byte) bool {
	return c == '.' || c == '_' || classes[c]&inWord != 0 && classes[c]&noName == 0
}

// afterEscape returns where what is behind an escape of JSON begins.
func afterEscape(text string, at int) int {
	if text[at] == 'u' {
		return min(at+len("u0000"), len(text))
	}
	return at + 1
}

// isFang reports whether a dot is a part of a mark of defanging.
func isFang(text string, at int) bool {
	return at > 0 && classes[text[at-1]]&opensFang != 0 || at+1 < len(text) && strings.IndexByte("])}", text[at+1]) >= 0
}

// isBehindHostMark reports whether a host comes behind a text: it ends in the slashes of a URL, which JSON may escape, or in @.
func isBehindHostMark(text string) bool {
	return strings.HasSuffix(text, "//") || strings.HasSuffix(text, `/\/`) || strings.HasSuffix(text, "@")
}

// mayBeName reports whether letters, digits, dots, hyphens and underscores may be an IPv4 address that is public, or a name.
func mayBeName(s string) holding {
	last := lastLabel(s)
	if last == "" {
		return holdsNothing
	}
	if c := last[0]; c >= '0' && c <= '9' {
		if isDigits(last) && strings.Count(s, ".") >= 3 && !beginsPrivate(s) {
			return holdsPlain
		}
		return holdsNothing
	}
	return mayBeTLD(last)
}

// mayBeHost is mayBeName for the host of a URL or an e-mail address, which may have any top-level domain.
func mayBeHost(s string) bool {
	last := lastLabel(s)
	return last != "" && !isDigits(last)
}

// lastLabel returns what is behind the last dot of a text, without what is in no name at its end; empty if there is no dot.
func lastLabel(s string) string {
	end := len(s)
	for end > 0 && (s[end-1] == '.' || s[end-1] == '-' || s[end-1] == '_') {
		end--
	}
	at := strings.LastIndexByte(s[:end], '.')
	if at < 0 {
		return ""
	}
	return s[at+1 : end]
}

// beginsPrivate reports whether the commonest of the networks that are not public hold an address.
func beginsPrivate(s string) bool {
	if len(s) < len("0.0.0.0") || s[0] != '1' && s[0] != '0' {
		return false
	}
	return s[:3] == "10." || s[:4] == "127." || s[0] == '0' && s[1] == '.' || strings.HasPrefix(s, "192.168.")
}

// mayBeTLD reports whether a name may be under a top-level domain, or under what may be a part of one: one that scan takes,
// or one that is also the ending of files.
func mayBeTLD(last string) holding {
	if len(last) < 2 {
		return holdsNothing
	}
	lower := true
	for i := range len(last) {
		switch c := last[i]; {
		case c >= utf8.RuneSelf || c == '-':
			return holdsPlain
		case c < 'A': // a digit
			return holdsNothing
		case isCapital(c):
			lower = false
		}
	}
	if !lower {
		last = strings.ToLower(last)
	}
	switch endings()[last] {
	case plainEnding, countryEnding:
		return holdsPlain
	case fileEnding:
		return holdsNamed
	case noEnding:
	}
	if notTLDs()[last] {
		return holdsNothing
	}
	if _, icann := publicsuffix.PublicSuffix(last); icann {
		return holdsPlain
	}
	return holdsNothing
}

// notTLDs are common endings of files and of names at a site that are no top-level domains: the list of these takes longer.
var notTLDs = setOf(`conf config cfg ini log json xml yml yaml txt csv exe dll sys bat cmd ps1 vbs jar class php html htm asp aspx jsp cgi css png
	jpg jpeg gif pdf doc docx xls xlsx ppt pptx tmp bak old gz tar tgz rpm deb msi dat db sqlite pid lock cache key pem crt cer service socket
	local lan internal localdomain corp go rb lua c h cpp o ko dmp evtx etl pcap sock timer target mount slice scope device`)

// mayHoldHash reports whether a text has 32 bytes of hexadecimal in a row.
func mayHoldHash(text string) bool {
	const digits = 32
	for at := digits - 1; at < len(text); {
		back := at
		for back > at-digits && classes[text[back]]&(isDigit|isHex) != 0 {
			back--
		}
		if back == at-digits {
			return true
		}
		at = back + digits
	}
	return false
}

// mayHoldIPv6 reports whether a text has hexadecimal and colons in a row as a public IPv6 address has: with two colons
// together, or eight groups.
func mayHoldIPv6(text string) bool {
	for at := 1; at < len(text); at += 2 { // of two colons, one is at such a place
		if text[at] != ':' {
			continue
		}
		first := at
		if text[at-1] == ':' {
			first--
		} else if at+1 == len(text) || text[at+1] != ':' {
			continue
		}
		if first > 0 && classes[text[first-1]]&(isDigit|isHex) != 0 {
			return true
		}
	}
	const shortest = len("2000:0:0:0:0:0:0:1")
	for at := shortest - 1; at < len(text); at += shortest {
		// A run goes half as far to one side at least.
		if !isIPv6Byte(text[at]) || !isIPv6Byte(text[at-shortest/2]) && (at+shortest/2 >= len(text) || !isIPv6Byte(text[at+shortest/2])) {
			continue
		}
		begin, end := at, at
		for begin > 0 && isIPv6Byte(text[begin-1]) {
			begin--
		}
		for end < len(text) && isIPv6Byte(text[end]) {
			end++
		}
		if end-begin >= shortest && strings.Count(text[begin:end], ":") >= 6 {
			return true
		}
		at = max(at, end-1)
	}
	return false
}

func isIPv6Byte(c byte) bool { return classes[c]&(isDigit|isHex) != 0 || c == ':' || c == '.' }

// mayHoldMark reports whether a text has CVE-, a dot that is written as a word, or something that is encoded.
func mayHoldMark(text string) bool {
	for at := 0; ; {
		i := strings.IndexByte(text[at:], '-')
		if i < 0 {
			break
		}
		if at += i; at >= 3 && text[at-1]|0x20 == 'e' && strings.EqualFold(text[at-3:at], "cve") {
			return true
		}
		at++
	}
	for _, bracket := range []byte("[(") {
		for at := 0; ; {
			i := strings.IndexByte(text[at:], bracket)
			if i < 0 {
				break
			}
			if at += i + 1; len(text)-at > 4 && text[at]|0x20 == 'd' && strings.EqualFold(text[at:at+3], "dot") {
				return true
			}
		}
	}
	return strings.IndexByte(text, 0xe3) >= 0 || strings.IndexByte(text, 0xef) >= 0 || mayBePowerShell(text)
}

// mayBePowerShell reports whether a text has something in base64 where a command line of PowerShell has it.
func mayBePowerShell(text string) bool {
	begin, end := nextArgument(text, 0)
	return begin < end
}
