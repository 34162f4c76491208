package source

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// errNoFields is a file of Zeek without the line that names its columns.
var errNoFields = errors.New("there is no line #fields; is this a file of Zeek's intelligence framework?")

// A Measure is what a file yields, before any of it counts.
type Measure struct {
	Report *Report
	source *Source
	now    time.Time
	again  map[uint64]bool
}

// Measure reads a file and reports what becomes of its entries. The error says why the file must not replace an earlier
// copy: it cannot be read, it yields no indicator, or most of its entries yield none. Beside it, the report is as far as
// it came; it is never nil.
func (s *Source) Measure(ctx context.Context, c Content, now time.Time) (*Measure, error) {
	source := s
	if s.Format == "" {
		recognised, err := s.recognise(c)
		if err != nil {
			return &Measure{Report: newReport("")}, err
		}
		if source = s.as(recognised); source.Format == FormatWarninglist && s.Name != "" {
			return &Measure{Report: newReport("")}, errUndeclaredList
		}
	}
	p := newPass(ctx, source, now)
	err := p.readAll(c)
	m := &Measure{Report: p.report, source: source, now: now, again: p.again}
	if err != nil {
		if p.report.Total() == 0 && kindOf(sample(c)) == "HTML" {
			err = errPage
		}
		return m, err
	}
	return m, source.judge(p.report, c)
}

// errUndeclaredList is a warninglist whose source does not say that it is one: its entries must not be taken for indicators.
var errUndeclaredList = errors.New("it is a warninglist; declare format: warninglist")

// errPage is a page in the place of a file.
var errPage = errors.New("it is an HTML page; is the address right, and does it need a key?")

// as returns the source with the form of another one.
func (s *Source) as(form *Source) *Source {
	merged := *form
	merged.Name, merged.Path, merged.URL, merged.File, merged.Line = s.Name, s.Path, s.URL, s.File, s.Line
	merged.Refresh, merged.Shrink, merged.MayBeEmpty = s.Refresh, s.Shrink, s.MayBeEmpty
	merged.tags = append(merged.tags, s.tags...)
	merged.wide, merged.list = merged.wide || s.wide, s.list
	return &merged
}

// Each reads the file again and yields its indicators, each once. What several entries say about one is joined.
func (m *Measure) Each(ctx context.Context, c Content, do func(Indicator) error) error {
	p := newPass(ctx, m.source, m.now)
	joined := map[uint64]*Indicator{}
	emitted := map[uint64]bool{}
	p.yield = func(key uint64, in Indicator) error {
		if !m.again[key] {
			if m.Report.Repeated > len(m.again) { // more repeats than are joined: the first one counts
				if emitted[key] {
					return nil
				}
				emitted[key] = true
			}
			return do(in)
		}
		if first := joined[key]; first != nil {
			first.join(in)
			return nil
		}
		joined[key] = &in
		return nil
	}
	if err := p.readAll(c); err != nil {
		return err
	}
	for _, in := range joined {
		if err := do(*in); err != nil {
			return err
		}
	}
	return nil
}

// readAll reads a whole file.
func (p *pass) readAll(c Content) error {
	reopen := func() (io.Reader, error) { return open(c, p.source.member) }
	switch p.source.Format {
	case FormatWarninglist:
		return p.readWarninglists(c)
	case FormatSTIX, FormatTAXII:
		return p.readSTIX(reopen)
	case FormatOTX:
		return p.readOTX(reopen)
	}
	in, err := open(c, p.source.member)
	if err != nil {
		return err
	}
	if err := p.read(in); err != nil {
		return fmt.Errorf("behind entry %d: %w", p.report.Entries, err)
	}
	return nil
}

func (p *pass) read(in *bufio.Reader) error {
	switch p.source.Format {
	case FormatJSON:
		return p.readJSON(in)
	case FormatMISP:
		return p.readMISP(in)
	}
	lines := newLineReader(in)
	switch p.source.Format {
	case FormatCSV:
		return p.readCSV(lines)
	case FormatNDJSON:
		return p.readNDJSON(lines)
	case FormatHosts:
		return p.readHosts(lines)
	case FormatAdblock:
		return p.readAdblock(lines)
	case FormatDnsmasq:
		return p.readDnsmasq(lines)
	case FormatUnbound:
		return p.readUnbound(lines)
	case FormatRPZ:
		return p.readRPZ(lines)
	case FormatZeek:
		return p.readZeek(lines)
	case FormatIPRep:
		return p.readIPRep(lines)
	}
	return p.readLines(lines)
}

// judge refuses a file that yields nothing, or little.
func (s *Source) judge(r *Report, c Content) error {
	total, bad := r.Total(), r.Bad()
	switch {
	case total == 0 && bad == 0 && s.MayBeEmpty && len(r.Skipped) == 0:
		return nil
	case total == 0 && bad == 0 && s.Collects():
		return nil // all that the server has was read: nothing, or only what is revoked
	case total == 0 && r.Entries == 0 && !looksOther(c):
		return fmt.Errorf("there is no entry: %w; if it may be empty, declare may_be_empty: true", errNoRows)
	case total == 0:
		return fmt.Errorf("no indicator in %d entries: %s", r.Entries, s.nothing(r, c))
	case bad > total+r.Repeated && !s.scan && 2*bad > r.Entries:
		reason, first := r.Worst()
		return fmt.Errorf("%d of %d entries yield no indicator, most: %s, first in line %d: %s; is the declaration right", bad, r.Entries, reason, first.Line, first.Text)
	}
	return nil
}

// looksOther reports whether a file is a page or JSON.
func looksOther(c Content) bool { return kindOf(sample(c)) != "" }

// nothing says why a file yields no indicator.
func (s *Source) nothing(r *Report, c Content) string {
	text := sample(c)
	switch kind := kindOf(text); {
	case kind == "HTML":
		return errPage.Error()
	case kind == "JSON" && isMISP(text) && s.Format != FormatMISP:
		return "this is a MISP export: format: misp"
	case kind == "JSON" && (s.Format == FormatLines || s.Format == FormatCSV):
		return "it is JSON; is it an error, or is the format json?"
	}
	if s.scan {
		return "no line holds one"
	}
	if r.Entries == 0 {
		return "nothing in it has the form of an entry; is the format right?"
	}
	reason, first := r.Worst()
	if reason == "" {
		return "all of them are left out on purpose"
	}
	return fmt.Sprintf("%s, first in line %d: %s", reason, first.Line, first.Text)
}

// kindOf returns HTML or JSON for a text that is one of these.
func kindOf(text []byte) string {
	start := strings.ToLower(string(bytes.TrimSpace(text[:min(len(text), 1000)])))
	switch {
	case strings.HasPrefix(start, "<!doctype html"), strings.HasPrefix(start, "<html"), strings.HasPrefix(start, "<head"), strings.HasPrefix(start, "<?xml"):
		return "HTML"
	case strings.HasPrefix(start, "{"), strings.HasPrefix(start, "["):
		return "JSON"
	}
	return ""
}

// sample returns the beginning of a file, unpacked; empty if it cannot be read.
func sample(c Content) []byte {
	in, err := open(c, "")
	if err != nil {
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(in, maxSample)) // what could be read
	return text
}

// isMISP reports whether JSON is an export of MISP.
func isMISP(text []byte) bool {
	start := text[:min(len(text), 4096)]
	return bytes.Contains(start, []byte(`"Event"`)) || bytes.Contains(start, []byte(`"Attribute"`))
}
