package source

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// An Unrecognised is a file whose form is not certain.
type Unrecognised struct {
	Because    string
	Suggestion string // the declaration to start from
}

// Error implements error.
func (e *Unrecognised) Error() string {
	return "the form of the file is not certain: " + e.Because + "; declare it"
}

// Recognise returns the form of a file, as a source without name and place. If that is not certain, the error is an
// [Unrecognised].
func Recognise(c Content) (*Source, error) {
	g, err := guessOf(c)
	if err != nil {
		return nil, err
	}
	s, err := g.compile()
	if err != nil {
		return nil, err
	}
	if g.doubt != "" {
		return nil, &Unrecognised{g.doubt, g.declaration("NAME")}
	}
	return s, nil
}

// Suggest returns a file with the declaration to start from for a file, and what is not certain about it; empty if all
// is.
func Suggest(name string, c Content) (declaration, doubt string, err error) {
	g, err := guessOf(c)
	if err != nil {
		return "", "", err
	}
	return g.declaration(name), g.doubt, nil
}

// A guess is what the content of a file says about its form.
type guess struct {
	preset string
	format Format
	keys   []string // further lines of the declaration
	doubt  string   // why it is not certain
}

// declaration writes a guess as a file.
func (g *guess) declaration(name string) string {
	var b strings.Builder
	b.WriteString("version: 1\nsources:\n  - name: " + name + "\n")
	if g.preset != "" {
		b.WriteString("    preset: " + g.preset + "\n")
	} else {
		b.WriteString("    format: " + string(g.format) + "\n")
	}
	for _, k := range g.keys {
		b.WriteString("    " + k + "\n")
	}
	return b.String()
}

// compile makes a source of a guess.
func (g *guess) compile() (*Source, error) {
	if g.preset != "" {
		return Preset(g.preset), nil
	}
	sources, faults := Load(File{Name: "suggestion", Data: []byte(g.declaration("suggestion"))})
	if len(faults) > 0 || len(sources) == 0 {
		return nil, fmt.Errorf("the declaration that was made is wrong: %w", faults)
	}
	return sources[0], nil
}

// guessOf looks at the beginning of a file.
func guessOf(c Content) (*guess, error) {
	in, err := open(c, "")
	if err != nil {
		return nil, err
	}
	lines := newLineReader(in)
	var text bytes.Buffer
	var all []line
	cut := false
	for {
		l, err := lines.next()
		if isEOF(err) {
			break
		}
		if err != nil {
			return nil, err
		}
		if text.Len()+len(l.raw) > maxSample && len(all) > 0 {
			cut = true
			break
		}
		text.WriteString(l.raw)
		text.WriteByte('\n')
		all = append(all, l)
		if l.long {
			cut = true
			break
		}
	}
	trimmed := bytes.TrimSpace(text.Bytes())
	switch {
	case len(trimmed) == 0:
		return nil, errNoRows
	case kindOf(trimmed) == "HTML":
		return nil, errPage
	case trimmed[0] == '{' || trimmed[0] == '[':
		if g := guessJSON(c, trimmed, cut); g != nil {
			return g, nil
		}
	}
	return guessText(c, all), nil
}

// A sampled file is the beginning of a file of lines.
type sampled struct {
	comments []string // without what begins them
	prefixes []string
	rows     []line
}

// sampledOf takes comments out.
func sampledOf(lines []line) sampled {
	var s sampled
	for _, l := range lines {
		text := trim(l.text)
		if text == "" {
			continue
		}
		prefix := ""
		for _, p := range []string{"#", ";", "//", "!"} {
			// What begins a comment besides # does so before the first row: cells with several lines have all kinds of text.
			known := p == "#" || len(s.rows) == 0 || slices.Contains(s.prefixes, p)
			if known && strings.HasPrefix(text, p) && !strings.HasPrefix(text, "##.") {
				prefix = p
				break
			}
		}
		if prefix == "" {
			l.text = text
			s.rows = append(s.rows, l)
			continue
		}
		if !slices.Contains(s.prefixes, prefix) {
			s.prefixes = append(s.prefixes, prefix)
		}
		s.comments = append(s.comments, strings.TrimLeft(text, prefix))
	}
	return s
}

// guessText decides about a file of lines.
func guessText(c Content, lines []line) *guess {
	s := sampledOf(lines)
	for _, find := range []func(Content, sampled) *guess{guessMarked, guessOwnForm, guessTable, guessList} {
		if g := find(c, s); g != nil {
			return g
		}
	}
	g := &guess{format: FormatLines, keys: []string{"lines: {scan: true}"}, doubt: "it is neither a list nor a table; free text is searched with lines: {scan: true}"}
	if n := scanned(s); n == 0 {
		g.keys, g.doubt = []string{"values: [{type: auto}]"}, "no line holds an indicator"
	}
	return g
}

// scanned counts the rows in which a search of free text finds something.
func scanned(s sampled) (n int) {
	p := newPass(context.Background(), &Source{Format: FormatLines, scan: true}, time.Time{})
	for _, l := range s.rows {
		if p.scanLine(&entry{line: l.number, text: l.text}) != nil {
			break
		}
	}
	return p.report.Total()
}

// guessMarked finds a preset by a text in the comments.
func guessMarked(c Content, s sampled) *guess {
	for _, p := range presets() {
		for _, mark := range p.marks {
			for _, comment := range s.comments {
				if strings.Contains(comment, mark) && fits(p.Source, c) {
					return &guess{preset: p.Name, format: p.Format}
				}
			}
		}
	}
	return nil
}

// fits reports whether a source reads the beginning of a file.
func fits(s *Source, c Content) bool {
	m, err := s.Measure(context.Background(), bytes.NewReader(wholeLines(sample(c))), time.Now())
	return m.Report.Total() > 0 && (err == nil || isTruncation(err))
}

// isTruncation reports whether an error is of a file that was cut, as a sample is.
func isTruncation(err error) bool { return errors.Is(err, errTruncated) }

// wholeLines takes off a last line that is cut.
func wholeLines(text []byte) []byte {
	if len(text) < maxSample {
		return text
	}
	return text[:bytes.LastIndexByte(text, '\n')+1]
}

// share returns how many of the rows are of a form, in percent.
func share(rows []line, is func(text string) bool) int {
	n := 0
	for _, l := range rows {
		if is(l.text) {
			n++
		}
	}
	if len(rows) == 0 {
		return 0
	}
	return 100 * n / len(rows)
}

// most is the share of rows, in percent, that has to be of a form.
const most = 80

// guessOwnForm finds formats whose lines have a form of their own.
func guessOwnForm(_ Content, s sampled) *guess {
	if slices.ContainsFunc(s.comments, func(c string) bool { return strings.HasPrefix(c, "fields\t") }) {
		return &guess{format: FormatZeek}
	}
	for _, f := range []struct {
		format Format
		is     func(string) bool
	}{
		{FormatAdblock, isAdblock},
		{FormatDnsmasq, isDnsmasq},
		{FormatUnbound, isUnbound},
		{FormatRPZ, isRPZ},
		{FormatHosts, isHosts},
		{FormatIPRep, isIPRep},
	} {
		if share(s.rows, f.is) >= most {
			return &guess{format: f.format}
		}
	}
	if share(s.rows, isBase64) == 100 {
		return &guess{preset: "suricata-dataset", format: FormatCSV}
	}
	if share(s.rows, isReputation) == 100 {
		g := &guess{preset: "suricata-datarep", format: FormatCSV}
		if share(s.rows, func(text string) bool { _, n, _ := strings.Cut(text, ","); return within(trim(n), 0, 65535) }) < 100 {
			g.doubt = "the second column is a number, but no reputation of Suricata"
		}
		return g
	}
	return nil
}

func isAdblock(text string) bool {
	return (strings.HasPrefix(text, "||") || strings.HasPrefix(text, "@@||")) && strings.Contains(text, "^")
}

func isDnsmasq(text string) bool {
	key, value, ok := strings.Cut(text, "=")
	return ok && (key == "address" || key == "server" || key == "local") && strings.HasPrefix(value, "/")
}

func isUnbound(text string) bool {
	return strings.HasPrefix(text, "local-zone:") || strings.HasPrefix(text, "local-data:") || text == "server:"
}

func isRPZ(text string) bool {
	fields := strings.Fields(text)
	return len(fields) > 2 && slices.Contains(fields[1:len(fields)-1], "CNAME") || strings.HasPrefix(text, "$TTL") || len(fields) > 2 && fields[0] == "@" ||
		strings.HasPrefix(text, "$ORIGIN")
}

// isHosts reports whether a line leads a name to an address where nothing answers.
func isHosts(text string) bool {
	fields := strings.Fields(text)
	if len(fields) < 2 {
		return false
	}
	a, err := netip.ParseAddr(fields[0])
	if err != nil || !a.IsUnspecified() && !a.IsLoopback() && !a.IsLinkLocalUnicast() && !a.IsMulticast() && fields[0] != "255.255.255.255" {
		return false
	}
	_, reason := (valuer{}).host(typeHost, fields[1])
	return reason == "" || localNames[fields[1]]
}

func isIPRep(text string) bool {
	cells := strings.Split(text, ",")
	if len(cells) != 3 {
		return false
	}
	_, reason := (valuer{}).address(typeIP, trim(cells[0]))
	return reason == "" && within(trim(cells[1]), 1, 60) && within(trim(cells[2]), 0, 127)
}

// isBase64 reports whether a line holds an indicator in base64, which it does not hold as it is.
func isBase64(text string) bool {
	text, _, _ = strings.Cut(text, ",")
	if _, reason := (valuer{}).auto(text); reason == "" || len(text) < 8 {
		return false
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil || !utf8.Valid(data) {
		return false
	}
	_, reason := (valuer{}).auto(string(data))
	return reason == ""
}

// isReputation reports whether a line is a value and a number.
func isReputation(text string) bool {
	value, number, ok := strings.Cut(text, ",")
	if !ok || strings.Trim(trim(number), "0123456789.") != "" || trim(number) == "" {
		return false
	}
	_, reason := (valuer{}).auto(trim(value))
	return reason == ""
}
