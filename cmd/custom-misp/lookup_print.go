package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/misp"
)

// lookupLine is what is known about one value, in JSON.
type lookupLine struct {
	Input   string        `json:"input"`
	Type    engine.Type   `json:"type"`
	Value   string        `json:"value"` // in normal form
	Matches []lookupMatch `json:"matches"`
	// Seen is what the site has seen of the value; absent without a history, and for types that it does not keep.
	Seen *lookupSeen `json:"seen,omitempty"`
	// NotAsked is why the value is never asked for; absent if it is.
	NotAsked *notReportedLine `json:"not_asked,omitempty"`
}

// lookupSeen is what was seen of a value.
type lookupSeen struct {
	Count      int64  `json:"count"` // alerts
	AgentCount int    `json:"agent_count"`
	FirstSeen  string `json:"first_seen,omitempty"` // RFC 3339
	LastSeen   string `json:"last_seen,omitempty"`
}

// String is what was seen in words.
func (s *lookupSeen) String() string {
	if s.Count == 0 {
		return "never seen here"
	}
	return fmt.Sprintf("seen in %s on %s, %s to %s", cli.Plural(int(s.Count), "alert"), cli.Plural(s.AgentCount, "agent"), s.FirstSeen, s.LastSeen)
}

// notReportedLine is why something is not reported.
type notReportedLine struct {
	Reason enrich.Reason `json:"reason"`
	By     string        `json:"by"`
}

func newNotReported(v enrich.Verdict) *notReportedLine {
	if v.Reported() {
		return nil
	}
	return &notReportedLine{v.Reason, v.By}
}

type lookupMatch struct {
	Kind         engine.MatchKind `json:"match_kind"`
	UUID         string           `json:"uuid"`
	Type         engine.Type      `json:"type"`
	Value        string           `json:"value"`
	Category     string           `json:"category"`
	Comment      string           `json:"comment,omitempty"`
	ToIDs        bool             `json:"to_ids"`
	Timestamp    string           `json:"timestamp,omitempty"`
	Tags         []string         `json:"tags"`
	Warninglists []string         `json:"warninglists,omitempty"`
	Expired      bool             `json:"expired,omitempty"`
	Origin       string           `json:"origin"` // the source: "live" for MISP asked now, "misp" for the mirror of it, "feed" for feed.dir, or a name
	Event        lookupEvent      `json:"event"`
	Link         string           `json:"link,omitempty"`
	// NotReported is why the match would raise no event; absent if it would.
	NotReported *notReportedLine `json:"not_reported,omitempty"`

	verdict string // in words
	why     string // it is not reported; empty if it is
}

type lookupEvent struct {
	ID          string `json:"id"`
	UUID        string `json:"uuid"`
	Info        string `json:"info"`
	Org         string `json:"org"`
	ThreatLevel string `json:"threat_level,omitempty"`
	Date        string `json:"date,omitempty"`
	Published   bool   `json:"published"`
}

// match returns a match with what would become of it.
func (v valueLookup) match(m enrich.Match) lookupMatch {
	m.Observable.Filter = nil // that of the configuration
	verdict := v.suppress.OfMatch(m)
	a := m.Attribute
	l := lookupMatch{
		Kind: m.Kind, UUID: a.UUID, Type: engine.Type(a.Type), Value: a.Value, Category: a.Category, Comment: a.Comment, ToIDs: a.ToIDs,
		Tags: append([]string{}, a.Tags...), Warninglists: a.Warninglists, Expired: m.Expired && v.suppress.Filter.Expired != engine.ExpiredMatch, Origin: a.Origin,
		Event: lookupEvent{
			ID: a.Event.ID, UUID: a.Event.UUID, Info: a.Event.Info, Org: a.Event.Org, ThreatLevel: a.Event.ThreatLevel.String(),
			Date: a.Event.Date, Published: a.Event.Published,
		},
		NotReported: newNotReported(verdict), why: verdict.String(),
	}
	if !a.Timestamp.IsZero() {
		l.Timestamp = a.Timestamp.UTC().Format(time.RFC3339)
	}
	link := v.links[a.Origin]
	if len(v.links) == 0 && (a.Origin == "live" || a.Origin == misp.OriginServer) {
		link = v.link
	}
	if link != "" && a.Event.ID != "" {
		l.Link = strings.TrimRight(link, "/") + "/events/view/" + a.Event.ID
	}
	body := enrich.Body{
		Warninglists: a.Warninglists, MatchKind: string(m.Kind), ToIDs: fmt.Sprint(a.ToIDs), Event: &enrich.EventBody{ThreatLevel: l.Event.ThreatLevel},
	}
	if l.Expired {
		body.Expired = "true"
	}
	l.verdict = body.Verdict()
	return l
}

// A lookupWriter prints what is known about values, each at once, in lines that fit on a terminal.
type lookupWriter struct {
	st   cli.Streams
	json bool
	mu   sync.Mutex
	head bool // the line of headers is printed
}

func newLookupWriter(st cli.Streams, output string) *lookupWriter {
	return &lookupWriter{st: st, json: output == "json"}
}

// add prints a value, unless it is not known whether it is known.
func (w *lookupWriter) add(v lookedUp) error {
	l := v.line
	switch {
	case v.err != nil && len(l.Matches) == 0:
		return nil
	case w.json:
		return cli.WriteJSONLine(w.st.Out, l)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var b strings.Builder
	if !w.head {
		w.head = true
		writeRow(&b, "VALUE", "VERDICT", "MISP EVENT")
	}
	switch {
	case l.NotAsked != nil:
		writeRow(&b, l.Value, "never asked for", "")
		writeBelow(&b, enrich.Verdict(*l.NotAsked).String())
	case len(l.Matches) == 0:
		writeRow(&b, l.Value, "not known", "as "+string(l.Type))
	}
	for _, m := range l.Matches {
		m.write(&b, l.Value)
	}
	if l.Seen != nil {
		writeBelow(&b, l.Seen.String())
	}
	_, err := io.WriteString(w.st.Out, b.String())
	return err
}

// write writes a match: value, verdict and event, and below it where to read more, and why it is not reported.
func (m lookupMatch) write(b *strings.Builder, value string) {
	verdict := m.verdict
	if m.why != "" {
		verdict = "known, not reported"
	}
	writeRow(b, value, verdict, m.Event.Info)
	if m.why != "" {
		writeBelow(b, m.why)
	}
	writeBelow(b, cmp.Or(m.Link, "event "+cmp.Or(m.Event.ID, m.Event.UUID)))
	writeBelow(b, strings.Join(nonEmpty(string(m.Type)+" "+m.Value, m.Event.Org, m.Event.Date, "from "+m.Origin), ", "))
	if len(m.Warninglists) > 0 {
		writeBelow(b, "on "+strings.Join(m.Warninglists, ", "))
	}
}

func nonEmpty(texts ...string) (kept []string) {
	for _, s := range texts {
		if s != "" {
			kept = append(kept, s)
		}
	}
	return kept
}

// The width of a terminal, and of the columns in it.
const (
	lineWidth    = 80
	valueWidth   = 32
	verdictWidth = 24
)

// writeRow writes three columns. A longer value has lines of its own; the last column is cut.
func writeRow(b *strings.Builder, value, verdict, event string) {
	value, verdict, event = cli.Clean(value), cli.Clean(verdict), cli.Clean(event)
	if width(value) > valueWidth {
		for _, line := range wrap(value, lineWidth) {
			fmt.Fprintln(b, line)
		}
		value = ""
	}
	line := pad(value, valueWidth) + "  " + pad(verdict, verdictWidth) + "  "
	fmt.Fprintln(b, strings.TrimRight(line+shortened(event, max(0, lineWidth-width(line))), " "))
}

// writeBelow writes a text below a row, in as many lines as it needs.
func writeBelow(b *strings.Builder, text string) {
	for _, line := range wrap(cli.Clean(text), lineWidth-2) {
		fmt.Fprintln(b, "  "+line)
	}
}

func width(s string) int { return utf8.RuneCountInString(s) }

func pad(s string, n int) string { return s + strings.Repeat(" ", max(0, n-width(s))) }

// wrap breaks a text into lines, at blanks where there are any.
func wrap(s string, n int) (lines []string) {
	for width(s) > n {
		head := string([]rune(s)[:n])
		at := strings.LastIndexByte(head, ' ')
		if at <= 0 {
			at = len(head)
		}
		lines = append(lines, s[:at])
		s = strings.TrimLeft(s[at:], " ")
	}
	return append(lines, s)
}
