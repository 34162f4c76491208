package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

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
	if p.report.Entries == maxFutile && p.report.Total() == 0 && (p.source.scan || p.report.Bad() >= maxFutile-1) {
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
	return p.eval.Run(x, p.names)
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
