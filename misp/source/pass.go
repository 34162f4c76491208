package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"custom-misp/engine"
	"custom-misp/misp"
)

// A pass reads a file once, counts, and yields what it finds.
type pass struct {
	ctx    context.Context
	source *Source
	report *Report
	now    time.Time
	values valuer
	seen   map[uint64]disuse // by indicator; empty when it was measured before
	again  map[uint64]bool   // indicators that came more than once
	eval   *engine.Evaluator
	names  map[string]any
	layout string                               // of the last date
	found  []Indicator                          // of the entry
	yield  func(key uint64, in Indicator) error // nil to count alone
}

// errMany is a file with more than may be read.
var (
	errManyEntries = fmt.Errorf("more than %d entries; split the file", maxEntries)
	errManyValues  = fmt.Errorf("more than %d different indicators; split the file, or leave some out with only", maxValues)
)

// An entry is a row of a file, with what its format says of it.
type entry struct {
	line   int
	text   string                           // for reports
	size   int                              // bytes
	cell   func(name string) (string, bool) // of a table; nil for others
	fill   func(row map[string]any)         // sets what expressions read; nil if row is set
	row    map[string]any
	parent map[string]any
	given  []given // values that the format names itself
	own    about
	whole  bool // given are whole attributes of MISP, which are not changed
}

// A given is a value that the format names itself.
type given struct {
	typ   engine.Type // engine.Auto if its form decides
	word  string      // by which the file names its type, instead of typ
	raw   string
	below bool // a name with all below it
	loose bool // its form counts where it is another type
	attr  *misp.Attribute
}

// about is what a format itself says about the values of an entry.
type about struct {
	tags        []string
	comment     string
	reference   string
	firstSeen   time.Time
	lastSeen    time.Time
	expires     time.Time
	notFlagged  bool
	event       *misp.Event
	threatLevel misp.ThreatLevel
}

func newPass(ctx context.Context, s *Source, now time.Time) *pass {
	return &pass{
		ctx: ctx, source: s, report: newReport(s.Format), now: now, values: valuer{s.padded}, seen: map[uint64]disuse{},
		again: map[uint64]bool{}, names: map[string]any{},
	}
}

// count counts an entry.
func (p *pass) count() error {
	if p.report.Entries++; p.report.Entries > maxEntries {
		return errManyEntries
	}
	if p.report.Entries&0x3ff != 0 {
		return nil
	}
	if p.report.Entries == maxFutile && p.report.Total() == 0 && p.report.Bad() >= maxFutile-1 {
		return fmt.Errorf("no indicator in the first %d entries", maxFutile)
	}
	return p.ctx.Err()
}

// skip counts an entry that is without indicator at first sight.
func (p *pass) skip(line int, reason, text string) error {
	p.report.skip(line, reason, text)
	return p.count()
}

// add counts an entry and what it yields.
func (p *pass) add(e *entry) error {
	if err := p.count(); err != nil {
		return err
	}
	p.names["row"] = nil
	if e.row != nil && e.fill == nil {
		p.names["row"] = e.row
	}
	if p.source.only != nil {
		wanted, err := p.truth(p.source.only, e)
		if err != nil {
			p.report.skip(e.line, reasonExpression, err.Error())
			return nil
		}
		if !wanted {
			p.report.skip(e.line, reasonNotWanted, e.text)
			return nil
		}
	}
	p.found = p.found[:0]
	reason := ""
	if len(p.source.values) > 0 && !e.whole {
		for i := range p.source.values {
			reason = better(reason, p.declared(&p.source.values[i], e))
		}
	} else {
		for _, g := range e.given {
			reason = better(reason, p.given(g))
		}
	}
	if len(p.found) == 0 {
		p.report.skip(e.line, cmp.Or(reason, reasonNoValue), e.text)
		return nil
	}
	return p.finish(e)
}

// better returns the reason of two that says more.
func better(a, b string) string {
	if a == "" || a == reasonNoValue && b != "" {
		return b
	}
	return a
}

// declared adds what a row has of a declared value, and returns why it has none.
func (p *pass) declared(v *compiledValue, e *entry) string {
	if v.when != nil {
		if ok, err := p.truth(v.when, e); err != nil || !ok {
			return reasonNoValue
		}
	}
	if v.from == nil {
		reason := ""
		for _, g := range e.given {
			if v.typ != "" && v.typ != engine.Auto {
				g.typ, g.word = v.typ, ""
			}
			reason = better(reason, p.text(v, g.raw, g.typ, g.word, e, g.below))
		}
		return reason
	}
	word := ""
	if v.typeFrom != nil {
		word = p.textOf(v.typeFrom, e)
	}
	if v.column != "" && e.cell != nil {
		text, ok := e.cell(v.column)
		if !ok {
			return reasonWidth
		}
		return p.text(v, text, v.typ, word, e, false)
	}
	out, err := p.run(v.from, e)
	if err != nil {
		return reasonExpression
	}
	reason := ""
	for _, text := range textsOf(out) {
		reason = better(reason, p.text(v, text, v.typ, word, e, false))
	}
	return cmp.Or(reason, reasonNoValue)
}

// textsOf returns a value of an expression as texts.
func textsOf(out any) []string {
	switch out := out.(type) {
	case nil:
		return nil
	case []any:
		var list []string
		for _, item := range out[:min(len(out), maxOfEntry)] {
			list = append(list, textsOf(item)...)
		}
		return list[:min(len(list), maxOfEntry)]
	case []string:
		return out[:min(len(out), maxOfEntry)]
	}
	return []string{textOf(out)}
}

// textOf returns a value of an expression as a text.
func textOf(out any) string {
	switch out := out.(type) {
	case nil:
		return ""
	case string:
		return out
	case float64:
		return strconv.FormatFloat(out, 'f', -1, 64)
	case map[string]any:
		return ""
	case []any, []string:
		return strings.Join(textsOf(out), ",")
	}
	return fmt.Sprint(out)
}

// text adds the values of one text.
func (p *pass) text(v *compiledValue, text string, t engine.Type, word string, e *entry, below bool) (reason string) {
	if trim(text); isEmptyMark(trim(text)) {
		return reasonNoValue
	}
	named := word != ""
	if named {
		if t, reason = v.typeOf(word, t); reason != "" {
			return reason
		}
	}
	if t == "" {
		t = engine.Auto
	}
	parts := []string{text}
	if v.split != "" {
		parts = strings.SplitN(text, v.split, maxOfEntry)
	}
	for _, part := range parts {
		if v.base64 {
			if part, reason = fromBase64(part); reason != "" {
				return reason
			}
		}
		if v.port != nil {
			if port := trim(p.textOf(v.port, e)); !isEmptyMark(port) && t.Family() == "ip" {
				part, t = trim(part)+"|"+port, typeIPPort
			}
		}
		if t == engine.Auto && isPattern(part) {
			reason = better(reason, p.pattern(part))
			continue
		}
		reason = better(reason, p.value(t, part, named, below))
	}
	return reason
}

// isPattern reports whether a cell holds a pattern of STIX.
func isPattern(text string) bool {
	text = trim(text)
	return strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") && strings.Contains(text, ":") && strings.Contains(text, "=")
}

// pattern adds the values of a pattern of STIX.
func (p *pass) pattern(text string) string {
	parsed, err := parsePattern(trim(text))
	if err != nil {
		return err.Error()
	}
	reason := ""
	for _, group := range parsed.groups {
		found, _, why := stixValues(group)
		reason = better(reason, why)
		for _, g := range found {
			reason = better(reason, p.given(g))
		}
	}
	return reason
}

// typeOf returns the type that a word of a row means.
func (v *compiledValue) typeOf(word string, otherwise engine.Type) (engine.Type, string) {
	if own, ok := v.types[wordKey(word)]; ok {
		if own == skipWord {
			return "", reasonSkipType
		}
		return engine.Type(own), ""
	}
	if t, ok := typeOfWord(word); ok {
		return t, ""
	}
	if otherwise != "" {
		return otherwise, ""
	}
	return "", fmt.Sprintf("unknown type %q", short(word))
}

// given adds a value that the format names itself.
func (p *pass) given(g given) string {
	if g.attr != nil {
		p.found = append(p.found, Indicator{Attribute: *g.attr})
		return ""
	}
	t := g.typ
	if g.word != "" {
		var known bool
		if t, known = typeOfWord(g.word); !known {
			return fmt.Sprintf("unknown type %q", short(g.word))
		}
	}
	return p.value(t, g.raw, g.loose || g.word != "", g.below)
}

// value adds the values of a text of one type.
func (p *pass) value(t engine.Type, raw string, named, below bool) string {
	found, retyped, reason := p.values.as(t, raw, named)
	if reason != "" {
		return reason
	}
	if retyped {
		p.report.Retyped++
	}
	for _, v := range found {
		if len(p.found) == maxOfEntry {
			return reasonMany
		}
		in := Indicator{Values: v.also, Subdomains: p.withSubdomains(v, below)}
		in.Type, in.Value = string(v.typ), v.text
		p.found = append(p.found, in)
	}
	return ""
}

// withSubdomains reports whether a name stands for all below it.
func (p *pass) withSubdomains(v value, below bool) bool {
	if v.typ.Family() != "host" {
		return false
	}
	switch p.source.names {
	case exactNames:
		return false
	case withSubdomains:
		return true
	}
	return below || v.subdomains
}

// finish counts what was found of an entry, or yields it.
func (p *pass) finish(e *entry) error {
	ends := p.ends(e)
	if p.yield == nil {
		p.checkDates(e)
	}
	for i := range p.found {
		in := &p.found[i]
		in.Line, in.whole = e.line, e.whole
		if !ends.IsZero() {
			in.Expires = ends
		}
		var err error
		if p.yield == nil {
			err = p.note(in, e)
		} else {
			if i == 0 {
				p.describe(e, in)
			} else {
				in.copyFrom(&p.found[0])
			}
			in.unused = p.unused(in, e)
			err = p.yield(p.key(in, e), *in)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// A disuse is why an indicator is not looked up; 0 if it is.
type disuse uint8

// disuses are the keys of Report.Unused.
var disuses = []string{"", Private, Expired, TooWide, NotCompared}

const (
	used disuse = iota
	isPrivate
	isExpired
	isTooWide
	isNotCompared
)

// note counts an indicator. One that comes again, and is looked up by one of its entries, is looked up.
func (p *pass) note(in *Indicator, e *entry) error {
	why := p.unused(in, e)
	if e.whole {
		p.counted(in, why)
		return nil
	}
	key := p.key(in, e)
	before, again := p.seen[key]
	switch {
	case !again && len(p.seen) >= maxValues:
		return errManyValues
	case !again:
		p.seen[key] = why
		p.counted(in, why)
		return nil
	}
	p.report.Repeated++
	if len(p.again) < maxRepeated {
		p.again[key] = true
	}
	if before != used && why == used {
		p.seen[key] = used
		name := disuses[before]
		if p.report.Unused[name]--; p.report.Unused[name] == 0 {
			delete(p.report.Unused, name)
		}
	}
	return nil
}

// counted counts an indicator.
func (p *pass) counted(in *Indicator, why disuse) {
	p.report.Indicators[in.Type]++
	if why != used {
		p.report.Unused[disuses[why]]++
	}
	if len(p.report.Examples) < maxExamples {
		p.report.Examples = append(p.report.Examples, Example{in.Line, engine.Type(in.Type), strings.Clone(in.Value)})
	}
}

// key identifies an indicator: by its family, and its value in normal form.
func (p *pass) key(in *Indicator, e *entry) uint64 {
	var d xxhash.Digest
	d.Reset()
	t := engine.Type(in.Type)
	_, _ = d.WriteString(cmp.Or(string(t.Family()), in.Type))
	_, _ = d.WriteString("\x00")
	_, _ = d.WriteString(in.Value)
	if e.whole {
		_, _ = d.WriteString("\x00" + in.UUID)
	}
	return d.Sum64()
}

// unused returns why an indicator is not looked up.
func (p *pass) unused(in *Indicator, e *entry) disuse {
	t := engine.Type(in.Type)
	if t == typeURI || e.whole && len(engine.Indicators(t, in.lookedUp())) == 0 {
		return isNotCompared
	}
	if !in.Expires.IsZero() && in.Expires.Before(p.now) || e.whole && in.Expired(p.now) {
		return isExpired
	}
	plain, _, _ := strings.Cut(in.Value, "|")
	if t.Family() == "ip" && strings.Contains(plain, "/") {
		if n, err := netip.ParsePrefix(plain); err == nil && !p.source.wide && isWide(n) {
			return isTooWide
		}
	}
	switch {
	case strings.HasPrefix(in.Type, "ip-") || t == typeHostPort:
		t = engine.Type(strings.TrimSuffix(in.Type, "|port"))
	case t.Family() == "url":
		plain = in.lookedUp()
	default:
		plain = in.Value
	}
	if engine.Unused(t, plain) != nil {
		return isPrivate
	}
	return used
}

// lookedUp is the first value by which an indicator is found.
func (in *Indicator) lookedUp() string {
	if len(in.Values) > 0 {
		return in.Values[0]
	}
	return in.Value
}

// isWide reports whether a network has more addresses than one that is looked up without being asked for.
func isWide(n netip.Prefix) bool {
	if n.Addr().Is4() {
		return n.Bits() < 16
	}
	return n.Bits() < 32
}

// run runs an expression over an entry.
func (p *pass) run(x *engine.Expression, e *entry) (any, error) {
	if p.eval == nil {
		p.eval = engine.NewEvaluator()
	}
	if p.names["row"] == nil {
		if e.row == nil {
			e.row = map[string]any{}
		}
		if e.fill != nil {
			e.fill(e.row)
		}
		p.names["row"] = e.row
	}
	parent := e.parent
	if parent == nil {
		parent = map[string]any{}
	}
	value, word := "", ""
	if len(e.given) > 0 {
		value, word = e.given[0].raw, cmp.Or(e.given[0].word, string(e.given[0].typ))
	}
	p.names["parent"], p.names["value"], p.names["type"], p.names["line"] = parent, value, word, e.line
	return p.eval.Run(x, p.names, e.size)
}

func (p *pass) truth(x *engine.Expression, e *entry) (bool, error) {
	out, err := p.run(x, e)
	if err != nil {
		return false, err
	}
	is, ok := out.(bool)
	if !ok {
		return false, errors.New("the result is neither true nor false")
	}
	return is, nil
}

// textOf runs an expression whose failure means that there is no text.
func (p *pass) textOf(x *engine.Expression, e *entry) string {
	if column, plain := p.source.plain[x]; plain && e.cell != nil {
		text, _ := e.cell(column)
		return text
	}
	out, err := p.run(x, e)
	if err != nil {
		return ""
	}
	return textOf(out)
}
