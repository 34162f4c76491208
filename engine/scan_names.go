package engine

import "strings"

// This file decides which words are host names, and which only look like one: files, classes and properties.

// isName reports whether a word that has the form of a host name is one. host is its normal form.
func (w word) isName(host string) bool {
	if !underPublicSuffix(host) || strings.Contains(host, "_") || w.isPartOfPath() || w.isPartOfCode() || w.joinsSentences() {
		return false
	}
	labels := strings.Split(host, ".")
	if beginsLikeCode(host, labels) || w.isClass(labels[len(labels)-1]) {
		return false
	}
	return lastLabelFits(labels)
}

// isPartOfPath reports whether the word is a component of a path. Two slashes or backslashes before a name make it a
// host: //evil.example/x, \\evil.example\share.
func (w word) isPartOfPath() bool {
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
	return (last == "net" || !plainTLDs()[last]) && isClassName(w.text)
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
func beginsLikeCode(host string, labels []string) bool {
	return codeWords()[labels[0]] || dosPrograms()[host] || len(labels) > 2 && packageRoots()[labels[0]]
}

// lastLabelFits reports whether a name is more likely a host than a file or a property, by its top-level domain.
func lastLabelFits(labels []string) bool {
	first, last := labels[0], labels[len(labels)-1]
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
