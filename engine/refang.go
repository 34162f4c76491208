package engine

import (
	"strings"
	"sync"
)

// This file undoes what is done to values before they reach an alert: defanging, and escapes of JSON and XML.

// refang undoes what people do to keep an indicator from being clicked on: hxxp://, [.], (.), [dot], [:], [@].
func refang(s string) string {
	if hasDefangedScheme(s) {
		s = "http" + s[len("hxxp"):]
	}
	if strings.ContainsAny(s, "[({") {
		s = fangs().Replace(s)
	}
	return s
}

// hasDefangedScheme reports whether s begins with hxxp or hxxps as the scheme of a URL; hxxp.example is a name.
func hasDefangedScheme(s string) bool {
	const scheme = "hxxp"
	if len(s) <= len(scheme) || !strings.EqualFold(s[:len(scheme)], scheme) {
		return false
	}
	rest := s[len(scheme):]
	if rest[0]|0x20 == 's' {
		rest = rest[1:]
	}
	return strings.HasPrefix(rest, ":") || strings.HasPrefix(rest, "[:")
}

// marks are what people write for the separators of an indicator.
var marks = []struct{ mark, plain string }{
	{"[.]", "."}, {"(.)", "."}, {"{.}", "."}, {"[dot]", "."}, {"(dot)", "."}, {"[:]", ":"}, {"[://]", "://"}, {"[@]", "@"}, {"[at]", "@"},
}

var fangs = sync.OnceValue(func() *strings.Replacer {
	var pairs []string
	for _, f := range marks {
		pairs = append(pairs, f.mark, f.plain)
	}
	return strings.NewReplacer(pairs...)
})

var xmlEntities = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&quot;", `"`, "&apos;", "'", "&amp;", "&")

// unescapePath undoes what Wazuh leaves in Windows event data: XML entities and doubled backslashes. If any run of
// backslashes has an odd length, the path was not doubled: the two at the start of a UNC path are its own.
func unescapePath(s string) string {
	if strings.Contains(s, "&") {
		s = xmlEntities.Replace(s)
	}
	run, runs := 0, 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] == '\\' {
			run++
			continue
		}
		if run%2 == 1 {
			return s
		}
		if run > 0 {
			runs++
		}
		run = 0
	}
	if runs == 0 {
		return s
	}
	return strings.ReplaceAll(s, `\\`, `\`)
}

// plainText refangs the indicators in a text. It undoes escaped slashes of JSON too, and entities of XML, which Wazuh
// leaves in Windows event data.
func plainText(text string) string {
	if strings.IndexByte(text, '&') >= 0 {
		text = xmlEntities.Replace(text)
	}
	if strings.Contains(text, `\/`) {
		text = strings.ReplaceAll(text, `\/`, "/")
	}
	return refangSchemes(refangMarks(text))
}

// refangMarks undoes [.], (.), {.}, [dot], (dot), [:], [://], [@] and [at] wherever they are in a text. Between letters or
// digits, each with a blank before it or not, it also undoes [. and .] and capitals: a [DOT] example.
func refangMarks(text string) string {
	var b strings.Builder
	done := 0 // bytes of the text that are in b
	for at := 0; at+1 < len(text); at++ {
		switch next := text[at+1]; {
		case classes[text[at]]&opensFang != 0 && strings.IndexByte(".:@dDaA", next) >= 0:
		case next == ']' && text[at] == '.':
		default:
			continue
		}
		begin, end, plain := fangAt(text, at)
		if plain == "" {
			continue
		}
		b.WriteString(text[done:begin])
		b.WriteString(plain)
		done = end
		at = end - 1
	}
	if done == 0 {
		return text
	}
	b.WriteString(text[done:])
	return b.String()
}

// fangAt returns what a mark at a place of a text stands for and from where to where it goes, with the blanks around it;
// "" if there is none.
func fangAt(text string, at int) (begin, end int, plain string) {
	if n := dotMark(text[at:]); n > 0 {
		begin, end = at, at+n
		if begin > 0 && strings.IndexByte(blanks, text[begin-1]) >= 0 {
			begin--
		}
		if end < len(text) && strings.IndexByte(blanks, text[end]) >= 0 {
			end++
		}
		if begin > 0 && isAlphanumeric(text[begin-1]) && end < len(text) && isAlphanumeric(text[end]) {
			return begin, end, "."
		}
	}
	for _, f := range marks {
		if strings.HasPrefix(text[at:], f.mark) {
			return at, at + len(f.mark), f.plain
		}
	}
	return 0, 0, ""
}

// dotMark returns the length of the mark for a dot that a text begins with, 0 for none.
func dotMark(s string) int {
	for _, mark := range []string{"[.]", "(.)", "{.}", "[dot]", "(dot)", "[.", ".]"} {
		if len(s) >= len(mark) && strings.EqualFold(s[:len(mark)], mark) {
			return len(mark)
		}
	}
	return 0
}

func isAlphanumeric(c byte) bool { return c != '_' && isWordChar(c) }

// refangSchemes makes http of hxxp before ://, with or without the s.
func refangSchemes(text string) string {
	const scheme = "hxxp"
	var changed []byte
	for at := 0; ; {
		colon := strings.Index(text[at:], "://")
		if colon < 0 {
			break
		}
		end := at + colon
		at = end + len("://")
		if end > 0 && text[end-1]|0x20 == 's' {
			end--
		}
		begin := end - len(scheme)
		if begin < 0 || !strings.EqualFold(text[begin:end], scheme) || begin > 0 && isWordChar(text[begin-1]) {
			continue
		}
		if changed == nil {
			changed = []byte(text)
		}
		copy(changed[begin:], "http")
	}
	if changed == nil {
		return text
	}
	return string(changed)
}
