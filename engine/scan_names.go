package engine

import (
	"strings"
	"sync"
)

// This file decides which words are host names, and which only look like one: files, classes and properties.

// name returns the host name that the word is, with the type that its form decides; false if the word is none, or only
// looks like one.
func (w word) name() (Type, string, bool) {
	if w.isPartOfPath() || w.isPartOfCode() || w.joinsSentences() || !mayHaveLabels(w.text) {
		return "", "", false
	}
	host, err := normalName(strings.TrimSuffix(w.text, "."))
	if err != nil || strings.IndexByte(host, '_') >= 0 {
		return "", "", false
	}
	first, rest, _ := strings.Cut(host, ".")
	last := host[strings.LastIndexByte(host, '.')+1:]
	several := last != rest // labels before the last
	if beginsLikeCode(host, first, several) || w.isClass(last) || !lastLabelFits(first, last, several) {
		return "", "", false
	}
	suffix, ok := publicSuffix(host)
	if !ok {
		return "", "", false
	}
	if below := host[:len(host)-len(suffix)-1]; strings.IndexByte(below, '.') >= 0 {
		return "hostname", host, true
	}
	return "domain", host, true
}

// mayHaveLabels reports whether a text has one of the dots that separate the labels of a name, the full stop or one that
// internationalised names may have in its place, and behind the last full stop as much as a top-level domain has.
func mayHaveLabels(text string) bool {
	switch i := strings.LastIndexByte(text, '.'); {
	case i < 0:
		return strings.ContainsAny(text, "\u3002\uff0e\uff61")
	case i == len(text)-1: // a port was behind it
		return true
	default:
		return i < len(text)-2
	}
}

// isPartOfPath reports whether the word is a component of a path. Two slashes or backslashes before a name make it a
// host: //evil.example/x, \\evil.example\share.
func (w word) isPartOfPath() bool {
	if w.prefix != "" {
		return false
	}
	outside := strings.TrimRight(w.before, `/\`)
	slashes := len(w.before) - len(outside)
	if slashes == 0 {
		return false
	}
	begins := outside == "" || strings.IndexByte(" \t\n\"'=(,;@", outside[len(outside)-1]) >= 0
	return slashes == 1 || !begins
}

// isPartOfCode reports whether the word is a part of an expression, by the characters around it.
func (w word) isPartOfCode() bool {
	before := w.before
	if w.prefix != "" {
		before = w.prefix
	}
	if strings.HasSuffix(before, "$") || strings.HasSuffix(before, "%") || strings.HasSuffix(before, "::") {
		return true // a variable
	}
	if w.after == "" {
		return false
	}
	switch w.after[0] {
	case '(', '=', '$':
		return true
	case ':':
		return strings.HasPrefix(w.after, "::")
	case '\\':
		return !strings.HasSuffix(before, `\\`) // DOMAIN.EXAMPLE\user is the site's own
	case ']':
		return strings.HasSuffix(before, "[") && strings.IndexByte(w.text, '-') < 0
	}
	return false
}

// joinsSentences reports whether the word is the end of one sentence and the beginning of the next: failed.It
func (w word) joinsSentences() bool {
	i := strings.LastIndexByte(w.text, '.')
	if i <= 0 || i+1 >= len(w.text) {
		return false
	}
	return isCapital(w.text[i+1]) && !isCapital(w.text[i-1]) && !isCapital(w.text[0])
}

// isClass reports whether the word is the name of a class. last is its last label in lower case: under net, and under
// what is not a plain top-level domain, capitals make a class.
func (w word) isClass(last string) bool {
	return (last == "net" || endings()[last] != plainEnding) && isClassName(w.text)
}

// isClassName reports whether every label begins with a capital that a small letter follows: System.Net.WebClient.
func isClassName(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		if len(label) < 2 || !isCapital(label[0]) || !strings.ContainsAny(label[1:], "abcdefghijklmnopqrstuvwxyz") {
			return strings.EqualFold(name, "asp.net")
		}
	}
	return true
}

func isCapital(c byte) bool { return c >= 'A' && c <= 'Z' }

// beginsLikeCode reports whether a name is that of a program, a property or a package, by its first label.
func beginsLikeCode(host, first string, several bool) bool {
	return codeWords()[first] || dosPrograms()[host] || several && packageRoots()[first]
}

// lastLabelFits reports whether a name is more likely a host than a file or a property, by its top-level domain. several
// is set if it has three labels or more.
func lastLabelFits(first, last string, several bool) bool {
	switch endings()[last] {
	case plainEnding:
		return true
	case fileEnding:
		return false
	case countryEnding:
		return several
	case noEnding:
	}
	if len(last) == 2 || strings.HasPrefix(last, "xn--") {
		return several || len(first) > 2
	}
	// A top-level domain that is also a word: properties of objects look like this.
	return several || strings.ContainsAny(first, "-0123456789") || len(first) > 11
}

// An ending is what a top-level domain is besides.
type ending uint8

const (
	noEnding      ending = iota // a word perhaps
	plainEnding                 // nothing: see plainTLDs
	fileEnding                  // see fileTLDs
	countryEnding               // see fileOrCountry
)

// endings gives what the top-level domains of the lists below are besides.
var endings = sync.OnceValue(func() map[string]ending {
	m := map[string]ending{}
	for ending, list := range map[ending]string{plainEnding: plainTLDs, fileEnding: fileTLDs, countryEnding: fileOrCountry} {
		for tld := range strings.FieldsSeq(list) {
			m[tld] = ending
		}
	}
	return m
})

const (
	// plainTLDs are no words of programs and no extensions of files: a name below one of them is a name.
	plainTLDs = `com net org edu gov mil int info biz pro mobi xyz icu cyou buzz example onion ru cn su ua by kz de fr uk
		eu us ca br mx ar jp kr tw hk sg vn th ph au nz za ng ke eg tr ir il ae sa nl be ch it es pt gr se no fi
		dk cz sk hu ro bg hr si lt lv ee io co tk ga cf gq pw ws tv nu`
	// fileTLDs are top-level domains that are first of all extensions of files, or names of properties.
	fileTLDs = `sh py so md zip mov app ps cab cat pub bar box map dot win run one page pages docs tf mk la ac am do ax
		pm ms vi st cr cl mm bz tm nc sc gs name target style date open link host services properties media tools security
		management network data report support events log search software systems computer center works build call
		foundation java science codes audio video pictures photo photos graphics hm lc gd js`
	// fileOrCountry are both, or words of sentences whose blank is missing: with three labels a name is taken for one.
	fileOrCountry = `pl in ml cc rs me ai as is at id my to`
)

var (
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
