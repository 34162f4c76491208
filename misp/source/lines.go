package source

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"custom-misp/engine"
)

// hash is what begins a comment where nothing else is declared.
var hash = []string{"#"}

// eachLine calls do for each line that is neither blank nor a comment, without blanks around it. Comments are passed to
// comment, which may be nil. What cannot be read is counted.
func (p *pass) eachLine(lines *lineReader, prefixes []string, comment func(text string), do func(l line) error) error {
	for {
		l, err := lines.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		l.text = trim(l.text)
		if text, is := commentOf(l.text, prefixes); is {
			if comment != nil {
				comment(text)
			}
			continue
		}
		switch {
		case l.text == "":
			continue
		case l.long:
			err = p.skip(l.number, reasonLongLine, l.text)
		case !utf8.ValidString(l.text):
			err = p.skip(l.number, reasonUTF8, l.text)
		default:
			err = do(l)
		}
		if err != nil {
			return err
		}
	}
}

// readLines reads format lines.
func (p *pass) readLines(lines *lineReader) error {
	s := p.source
	if s.scan {
		return p.readText(lines)
	}
	prefixes := s.comments
	if len(prefixes) == 0 {
		prefixes = hash
	}
	var e entry
	e.fill = func(row map[string]any) { fillLine(row, e.text) }
	return p.eachLine(lines, prefixes, nil, func(l line) error {
		e = entry{line: l.number, text: l.text, fill: e.fill, row: e.row, given: e.given[:0]}
		switch {
		case s.onlyPart != nil:
			part, ok := partOf(s.onlyPart, l.text)
			if !ok {
				return p.skip(l.number, reasonNotWanted, l.text)
			}
			e.given = append(e.given, given{typ: engine.Auto, raw: part})
		case s.separator != "":
			for part := range strings.SplitSeq(l.text, s.separator) {
				if len(e.given) == maxOfEntry {
					break
				}
				e.given = append(e.given, given{typ: engine.Auto, raw: part})
			}
		default:
			e.given = append(e.given, given{typ: engine.Auto, raw: p.valueOfLine(l.text, prefixes)})
		}
		return p.add(&e)
	})
}

// readText reads free text. Each line is an entry; one without an indicator is nothing to report.
func (p *pass) readText(lines *lineReader) error {
	for {
		l, err := lines.next()
		if isEOF(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := p.scanLine(&entry{line: l.number, text: strings.ToValidUTF8(l.text, " "), row: map[string]any{"line": l.text}}); err != nil {
			return err
		}
	}
}

// fillLine sets the words of a line.
func fillLine(row map[string]any, text string) {
	clear(row)
	row["line"] = text
	for i, word := range strings.Fields(text) {
		if i == maxColumns {
			break
		}
		row[columnName(i)] = word
	}
}

// columnName is the name of a column without one.
func columnName(i int) string { return fmt.Sprintf("c%d", i+1) }

// partOf returns the group named value of a match, else the first group, else all of it.
func partOf(re *regexp.Regexp, text string) (string, bool) {
	m := re.FindStringSubmatch(text)
	if m == nil {
		return "", false
	}
	if i := re.SubexpIndex("value"); i > 0 {
		return m[i], true
	}
	return m[min(1, len(m)-1)], true
}

// lineBreak matches the end of a line of a page.
var lineBreak = lazily(`(?i)\s*<br\s*/?>\s*$`)

// lazily compiles a regular expression when it is first needed: a call by integratord needs none.
func lazily(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

// valueOfLine returns the value that a line begins with. All of the line is tried first: a range has blanks.
func (p *pass) valueOfLine(text string, prefixes []string) string {
	if strings.HasSuffix(text, ">") {
		text = lineBreak().ReplaceAllString(text, "")
	}
	first, rest := firstWord(text)
	if rest == "" {
		return text
	}
	if r := trim(rest); strings.HasPrefix(r, "-") {
		if _, reason := p.values.address(typeIP, engine.Refang(text)); reason == "" {
			return text
		}
		for _, c := range prefixes { // a range, and a comment
			if before, _, ok := strings.Cut(text, " "+c); ok {
				if _, reason := p.values.address(typeIP, engine.Refang(trim(before))); reason == "" {
					return trim(before)
				}
			}
		}
	}
	return strings.TrimRight(first, ";,")
}

// firstWord returns the first word of a line, and what follows it.
func firstWord(text string) (word, rest string) {
	i := strings.IndexAny(text, " \t")
	if nbsp := strings.Index(text, "\u00a0"); nbsp >= 0 && (i < 0 || nbsp < i) {
		return text[:nbsp], text[nbsp+2:]
	}
	if i < 0 {
		return text, ""
	}
	return text[:i], text[i+1:]
}

// scanLine finds the indicators of a line of free text: addresses, URLs and hashes, and names that are defanged. Others are
// too often those of files, of victims and of the writer.
func (p *pass) scanLine(e *entry) error {
	words := 0
	for word := range strings.FieldsFuncSeq(e.text, breaksWord) {
		if words++; words > maxWords || len(e.given) == maxOfEntry {
			break
		}
		word = strings.TrimRight(strings.TrimLeft(word, "([{'*"), ").,;:]}'!?*")
		if opens := strings.Count(word, "[") - strings.Count(word, "]"); opens > 0 {
			word += "]"
		}
		plain := engine.Refang(word)
		found, reason := p.values.auto(plain)
		if i := strings.LastIndexAny(word, "=:"); reason != "" && i > 0 {
			plain = engine.Refang(word[i+1:])
			found, reason = p.values.auto(plain)
		}
		if reason != "" || !mayStandAlone(found[0], word) {
			continue
		}
		e.given = append(e.given, given{typ: engine.Auto, raw: plain})
	}
	if len(e.given) == 0 {
		return p.count()
	}
	return p.add(e)
}

// breaksWord reports whether a character ends a word of a text.
func breaksWord(r rune) bool {
	return unicode.IsSpace(r) || strings.ContainsRune("\"<>|\u201c\u201d\u2018\u2019\u00ab\u00bb`", r)
}

// mayStandAlone reports whether a value is an indicator wherever it is in a text.
func mayStandAlone(v value, word string) bool {
	switch family := familyOf(v.typ); family {
	case "host", "email":
		return engine.Refang(word) != word
	case "url":
		return len(v.also) == 0 || engine.Refang(word) != word
	}
	return v.typ != typeAS
}
