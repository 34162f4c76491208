package engine

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// This file finds indicators in free text: command lines, script blocks, log messages. Such text is full of what only
// looks like an indicator: file names whose extension is a top-level domain (install.sh), class names (System.Net),
// version numbers (Chrome/120.0.0.0), properties (user.name). A missed name costs one look-up, a wrong name costs
// trust. So scan takes a bare name only if more speaks for it than its last label: see scan_names.go.
//
// Whoever writes a log writes the text, so the work per byte has a bound: a byte is classified by a table, a word is
// looked at again only if it has a byte that an indicator needs, and nothing is copied or searched per byte.

// verdict is what becomes of a value that scan found.
type verdict uint8

const (
	kept    verdict = iota // the value is one of those that scan takes at most
	dropped                // the value does not count
	stop                   // no more values are wanted
)

// A scanner finds the indicators of one text.
type scanner struct {
	yield   func(candidate string, t Type, value string, err error) verdict
	before  string // what is before the value that is yielded
	after   string // what is behind it
	encoded bool   // what is read was encoded in the text
	whole   bool   // the text itself was

	found map[string]bool // values that were found, in lower case, not all of them kept, and the words that some were read from
	kept  int
	ended bool // yield wants no more

	unread int // bytes of the text that were not read
	more   int // values that were found when no more could be kept: 1, as it ends the scan
	long   int // values that are longer than MaxValue
}

// scan calls yield with everything in text that looks like an indicator, once each, with the type and normal form that
// its own form decides. candidate is the part of the text that the value was read from. Of a text that is too long, the
// first and the last part are read. What PowerShell has in base64, and URLs in percent-encoding, are read too. The result says
// what was left out.
func scan(text string, yield func(candidate string, t Type, value string, err error) verdict) scanner {
	s := scanner{yield: yield}
	s.scan(text)
	return s
}

func (s *scanner) scan(text string) {
	parts := []string{text}
	if len(text) > maxScan {
		parts = firstAndLast(text, maxScan)
		s.unread = len(text) - len(parts[0]) - len(parts[1])
	}
	for _, part := range parts {
		s.read(part)
	}
	for _, part := range parts {
		s.readHidden(part, maxLayers)
	}
}

// readHidden scans what a part of a text has in an encoding, and what that has, so many times at most.
func (s *scanner) readHidden(text string, layers int) {
	if layers == 0 || s.ended {
		return
	}
	texts := hidden(text)
	s.encoded = true
	for _, t := range texts {
		s.read(t)
		s.readHidden(t, layers-1)
	}
	s.encoded = layers < maxLayers
}

// firstAndLast returns the first and the last part of a text that is longer than so many bytes, which both are at most.
// It takes off the word that a cut goes through, if it is not longer than a value can be: half of a name is another name.
func firstAndLast(text string, most int) []string {
	const blanks = " \t\r\n"
	first, last := text[:most/2], text[len(text)-most/2:]
	if i := strings.LastIndexAny(first, blanks); i >= max(0, len(first)-MaxValue) {
		first = first[:i]
	}
	if i := strings.IndexAny(last[:min(MaxValue, len(last))], blanks); i >= 0 {
		last = last[i:]
	}
	return []string{first, last}
}

// read scans a part of a text.
func (s *scanner) read(text string) {
	text = plainText(strings.ToValidUTF8(text, " "))
	for at := 0; at < len(text) && !s.ended; {
		if classes[text[at]]&inWord == 0 {
			at++
			continue
		}
		end, url, seen := readWord(text, at)
		if end > at && seen&lookedAt != 0 {
			s.word(text, at, end)
		}
		if at = end; url == "" {
			continue
		}
		s.before, s.after = text[:at], ""
		at += len(url)
		s.url(withoutPunctuation(url))
	}
}

func (s *scanner) word(text string, start, end int) {
	if s.found[text[start:end]] {
		return
	}
	if t, value, ok := wordAt(text, start, end).indicator(); ok {
		s.before, s.after = text[:start], text[end:]
		s.report(text[start:end], t, value)
		if s.found != nil && !s.found[text[start:end]] {
			s.found[text[start:end]] = true // the same word again is the same value again
		}
	}
}

func (s *scanner) url(raw string) {
	if s.ended {
		return
	}
	switch u, err := normalURL(raw); {
	case err != nil || keepURLByDefault(u) != nil: // like the addresses that isAddress drops
	case len(u) > MaxValue || len(raw) > MaxValue:
		s.long++
	default:
		s.report(raw, "url", u)
	}
}

// report yields a value when it is found first.
func (s *scanner) report(candidate string, t Type, value string) {
	key := strings.ToLower(value) // values of two families are never the same
	if s.found[key] {
		return
	}
	if s.kept == maxFound {
		s.more, s.ended = 1, true
		return
	}
	if s.found == nil {
		s.found = map[string]bool{}
	}
	s.found[key] = true
	switch s.yield(candidate, t, value, nil) {
	case kept:
		s.kept++
	case dropped:
	case stop:
		s.ended = true
	}
}

// A class is what a byte can be a part of.
type class uint8

const (
	inWord    class = 1 << iota // an indicator other than a URL
	isDigit                     // 0 to 9
	isHex                       // a to f, A to F
	isOther                     // another letter, - or +
	isMark                      // . : @ or a part of a character that is not ASCII
	noName                      // a byte of a word that is in no name: : @ + _
	endsURL                     // the end of a URL, or possibly one: its character decides
	opensFang                   // [ ( {: undoing defanging begins here
)

// lookedAt are the classes of which a word needs one to be looked at. Hashes and CVE ids have digits, all others have one of the rest.
const lookedAt = isMark | isDigit

var classes = func() (table [256]class) {
	for c := range 256 {
		b := byte(c) //nolint:gosec // below 256
		switch {
		case b >= '0' && b <= '9':
			table[c] = inWord | isDigit
		case b|0x20 >= 'a' && b|0x20 <= 'f' && b < utf8.RuneSelf:
			table[c] = inWord | isHex
		case b|0x20 > 'f' && b|0x20 <= 'z' && b < utf8.RuneSelf:
			table[c] = inWord | isOther
		case b >= utf8.RuneSelf:
			table[c] = inWord | isMark | endsURL
		case b <= ' ' || b == 0x7f || strings.IndexByte("\"'`<>|\\^{},;", b) >= 0:
			table[c] = endsURL
		}
	}
	table['.'] = inWord | isMark
	table[':'] = inWord | isMark | noName
	table['@'] = inWord | isMark | noName
	table['+'] = inWord | isOther | noName
	table['_'] = inWord | noName
	table['-'] = inWord | isOther
	for _, b := range []byte("[({") {
		table[b] |= opensFang
	}
	return table
}()

// readWord returns the end of the word that begins at a place, the URL that begins there, if one does, and the classes of
// the bytes before. A URL that follows a colon, as in jndi:ldap://…, is not a part of the word.
func readWord(text string, at int) (end int, url string, seen class) {
	begin := at // of what may be a scheme
	for at < len(text) {
		c := classes[text[at]]
		if c&inWord == 0 {
			break
		}
		seen |= c
		at++
		if text[at-1] != ':' {
			continue
		}
		if strings.HasPrefix(text[at:], "//") && isScheme(text[begin:at-1]) {
			head := at + len("//")
			if end := urlEnd(text, head); len(withoutPunctuation(text[begin:end])) > head-begin {
				return begin, text[begin:end], seen
			}
		}
		begin = at
	}
	return at, "", seen
}

// longestScheme is the length of the longest scheme of isScheme.
const longestScheme = len("https")

// isScheme reports whether a text is the scheme of URLs that scan takes.
func isScheme(s string) bool {
	if len(s) < len("ws") || len(s) > longestScheme {
		return false
	}
	var lower [longestScheme]byte
	for i := range len(s) {
		lower[i] = s[i] | 0x20
	}
	switch string(lower[:len(s)]) {
	case "http", "https", "ftp", "ftps", "sftp", "tftp", "ws", "wss", "tcp", "udp", "ldap", "ldaps", "rmi", "smb", "ssh":
		return true
	}
	return false
}

// beginsURL reports whether a text begins with a scheme and ://.
func beginsURL(text string) bool {
	for i := range min(len(text), longestScheme+1) {
		switch c := classes[text[i]]; {
		case text[i] == ':':
			return strings.HasPrefix(text[i:], "://") && isScheme(text[:i])
		case c&(isHex|isOther) == 0:
			return false
		}
	}
	return false
}

// urlEnd returns where a URL ends that goes on at a place: at a character that is never in a URL, or at a comma or
// semicolon before the next URL.
func urlEnd(text string, at int) int {
	for at < len(text) {
		c := text[at]
		switch {
		case classes[c]&endsURL == 0:
			at++
		case c == ',' || c == ';':
			if at++; beginsURL(text[at:]) {
				return at - 1
			}
		case c < utf8.RuneSelf:
			return at
		default:
			r, size := utf8.DecodeRuneInString(text[at:])
			if unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune("“”‘’«»", r) {
				return at
			}
			at += size
		}
	}
	return at
}

// withoutPunctuation takes off what ends a sentence, and brackets that close more than the URL opens.
func withoutPunctuation(url string) string {
	const punctuation = ".,;:!?*)]"
	if url == "" || strings.IndexByte(punctuation, url[len(url)-1]) < 0 {
		return url
	}
	end := strings.TrimRight(url, punctuation)
	round := strings.Count(url, ")") - strings.Count(url, "(")
	square := strings.Count(url, "]") - strings.Count(url, "[")
	for url != end {
		switch last := url[len(url)-1]; {
		case last == ')' && round > 0:
			round--
		case last == ']' && square > 0:
			square--
		case last == ')' || last == ']':
			return url
		}
		url = url[:len(url)-1]
	}
	return url
}
