package mirror

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"custom-misp/engine"
	"custom-misp/misp"
)

// List is a plain list of values as a source: a file or an address with a value a line, or in columns separated by
// commas, semicolons or tabs. The first column holds the values, unless the first line names the columns and one of
// them "value"; then "type", "category", "comment", "to_ids", "uuid", "first_seen", "last_seen", "tags" (with blanks
// between) and "timestamp" or "date" are understood too, as MISP's own export to CSV has them. A value without a type
// has that of its form; a network is an address. Empty lines, and those that begin with #, do not matter.
type List struct{ located }

// NewList returns the list at a path or URL.
func NewList(name, at, userAgent string) *List { return &List{located{name, newPlace(at, userAgent)}} }

func (l *List) describe() (Kind, string) { return KindCSV, l.from.shown() }

func (l *List) sync(ctx context.Context, w *writer, y *Syncer, full bool) error {
	began := y.now()
	have := validators{}
	if !full && w.set != nil {
		have = w.state.validators()
	}
	r, got, err := l.from.open(ctx, "", have, l.from.max.list)
	if errors.Is(err, errSame) {
		return w.keep(y.done(began, func(s *State) {
			if before := w.state; before.FailedAt.Equal(before.FullAt) {
				s.FailedAt, s.Failure = before.FailedAt, before.Failure // its useless lines are still there
			}
		}))
	}
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // only read
	p := listReader{event: misp.Event{
		UUID: identify("list " + l.name).String(), Info: "list " + l.name, Published: true,
	}}
	p.event.ID = p.event.UUID
	return w.replace(ctx, func(b *builder) error {
		if err := l.fill(ctx, b, r, &p); err != nil {
			return err
		}
		if b.trailer.Attributes == 0 && p.useless > 0 {
			return l.from.trouble("", fmt.Errorf("no indicator in %d lines, the first is line %d", p.useless, p.firstUseless),
				"is it a list of values, one a line or in columns?")
		}
		return nil
	}, y.done(began, func(s *State) {
		s.setValidators(got)
		s.FullAt = began.UTC()
		if p.useless > 0 {
			s.FailedAt, s.Failure = began.UTC(), fmt.Sprintf("%d lines hold no indicator, the first is line %d", p.useless, p.firstUseless)
		}
	}))
}

// fill adds the values of a list, unless they are too many.
func (l *List) fill(ctx context.Context, b *builder, r io.Reader, p *listReader) error {
	bounded := &io.LimitedReader{R: r, N: l.from.max.list + 1}
	var failed error
	err := p.read(ctx, bounded, func(a misp.Attribute) error {
		if b.trailer.Attributes >= l.from.max.values {
			failed = l.from.trouble("", fmt.Errorf("%w: more than %d values", errLong, l.from.max.values), "split it, or leave old values out")
		} else {
			failed = b.Add(a, "")
		}
		return failed
	})
	switch {
	case failed != nil:
		return failed
	case err != nil:
		return l.from.trouble("", err, "is it a list of values, one a line or in columns?")
	case bounded.N <= 0:
		return l.from.trouble("", fmt.Errorf("%w: more than %d bytes", errLong, l.from.max.list), "split it, or leave old values out")
	}
	return nil
}

// listReader reads the lines of a list.
type listReader struct {
	event        misp.Event
	columns      map[string]int // by name; the value alone if the list does not name them
	useless      int
	firstUseless int
}

// listColumns are the names that are understood.
var listColumns = []string{
	"value", "type", "category", "comment", "to_ids", "uuid", "first_seen", "last_seen", "tags", "attribute_tag", "timestamp", "date",
}

// errManyColumns is a row that is no row of a list.
var errManyColumns = errors.New("has too many columns")

func (p *listReader) read(ctx context.Context, r io.Reader, do func(misp.Attribute) error) error {
	row := &io.LimitedReader{R: r, N: maxRow}
	in := bufio.NewReaderSize(row, 64<<10)
	if mark, _ := in.Peek(3); bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		_, _ = in.Discard(len(mark)) // it was peeked
	}
	c := csv.NewReader(in)
	c.Comma = separator(in)
	c.Comment = '#'
	c.FieldsPerRecord = -1
	c.LazyQuotes = true
	c.TrimLeadingSpace = true
	c.ReuseRecord = true
	for line := 0; ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		row.N = maxRow
		fields, err := c.Read()
		switch {
		case row.N <= 0:
			return fmt.Errorf("what follows line %d does not end within %d bytes; is there a quote that is not closed", line, maxRow)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		line, _ = c.FieldPos(0)
		if len(fields) > maxColumns {
			return fmt.Errorf("line %d %w: more than %d", line, errManyColumns, maxColumns)
		}
		if p.columns == nil && p.header(fields) {
			continue
		}
		if !slices.ContainsFunc(fields, func(f string) bool { return strings.TrimSpace(f) != "" }) {
			continue
		}
		a, ok := p.attribute(fields)
		if !ok {
			if p.useless++; p.firstUseless == 0 {
				p.firstUseless = line
			}
			continue
		}
		if err := do(a); err != nil {
			return err
		}
	}
}

// separator returns the separator in the first line that is not a comment; a comma if there is no other.
func separator(in *bufio.Reader) rune {
	start, _ := in.Peek(4096)
	for line := range bytes.Lines(start) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		for _, r := range []rune{'\t', ';', ','} {
			if bytes.ContainsRune(line, r) {
				return r
			}
		}
		break
	}
	return ','
}

// header takes a first line that names the columns.
func (p *listReader) header(row []string) bool {
	named := map[string]int{}
	for i, name := range row {
		name = strings.ToLower(strings.TrimSpace(name))
		if slices.Contains(listColumns, name) {
			named[name] = i
		}
	}
	if _, ok := named["value"]; !ok {
		p.columns = map[string]int{"value": 0}
		return false
	}
	p.columns = named
	return true
}

// listTags returns tags with blanks between, and others with commas between.
func listTags(words, texts string) []string {
	var tags misp.TagList
	for tag := range strings.FieldsSeq(words) {
		tags.Add(strings.Clone(tag))
	}
	for tag := range strings.SplitSeq(texts, ",") {
		tags.Add(strings.Clone(strings.TrimSpace(tag)))
	}
	return tags.Tags()
}

func (p *listReader) attribute(row []string) (misp.Attribute, bool) {
	at := func(name string) string {
		if i, ok := p.columns[name]; ok && i < len(row) {
			return strings.TrimSpace(row[i])
		}
		return ""
	}
	a := misp.Attribute{
		Type: at("type"), Category: at("category"), Value: strings.Clone(at("value")), Comment: strings.Clone(at("comment")),
		ToIDs: true, UUID: strings.Clone(at("uuid")), FirstSeen: strings.Clone(at("first_seen")), LastSeen: strings.Clone(at("last_seen")),
		Tags: listTags(at("tags"), at("attribute_tag")), Event: p.event,
	}
	if flag := strings.ToLower(at("to_ids")); flag == "0" || flag == "false" || flag == "no" {
		a.ToIDs = false
	}
	for _, text := range []string{at("timestamp"), at("date")} {
		if seconds, err := strconv.ParseInt(text, 10, 64); err == nil && seconds > 0 {
			a.Timestamp = time.Unix(seconds, 0).UTC()
		}
	}
	if a.Type == "" {
		a.Type = string(engine.Auto)
	}
	if a.Type == string(engine.Auto) {
		if network, err := netip.ParsePrefix(a.Value); err == nil {
			a.Type, a.Value = "ip-dst", network.Masked().String()
		} else if t, value, err := engine.Auto.Resolve(a.Value); err == nil {
			a.Type, a.Value = string(t), value
		}
	}
	if len(indicators(a)) == 0 {
		return a, false
	}
	if a.UUID == "" {
		a.UUID = identify(p.event.Info + "\x00" + a.Type + "\x00" + a.Value).String()
	}
	return a, true
}
