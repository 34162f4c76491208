package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"custom-misp/cmd/custom-misp/internal/backtest"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/report"
)

// This file prints what a back-test has counted.

func writeBacktest(out io.Writer, r backtest.Report, rows int) error {
	var b strings.Builder
	for _, fact := range slices.Concat(backtestWarnings(r), backtestFacts(r)) {
		b.WriteString(cli.Wrap(fact))
	}
	if err := writeSections(&b, backtestTables(r, narrowIndicators(r.Indicators, rows), rows)); err != nil {
		return err
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func writeBacktestPage(out io.Writer, r backtest.Report, rows int) error {
	sections := backtestTables(r, wideIndicators(r.Indicators, rows), rows)
	for i := range sections {
		sections[i].Plot = backtestPlot(sections[i].Title, r)
	}
	return report.Page{Title: "Back-test", Facts: backtestFacts(r), Warnings: backtestWarnings(r), Sections: sections}.Write(out)
}

// The titles of the tables, by which their plots are found.
const (
	byIndicator = "Hits by indicator"
	byMapping   = "Hits by mapping"
	byAgent     = "Hits by agent"
	byDay       = "Hits by day"
)

// backtestPlot returns the plot of a table.
func backtestPlot(title string, r backtest.Report) report.Plot {
	p := report.Plot{Unit: "hits"}
	add := func(label string, n int) { p.Bars = append(p.Bars, report.Bar{Label: label, Number: n}) }
	switch title {
	case byIndicator:
		for _, i := range r.Indicators[:min(plotted, len(r.Indicators))] {
			add(i.Value, i.Hits)
		}
	case byMapping:
		for _, m := range r.Mappings[:min(plotted, len(r.Mappings))] {
			if m.Hits > 0 {
				add(m.ID, m.Hits)
			}
		}
	case byAgent:
		for _, a := range r.Agents[:min(plotted, len(r.Agents))] {
			add(agentTitle(a), a.Hits)
		}
	case byDay:
		p.Upright = true
		for _, d := range r.Days[max(0, len(r.Days)-plottedDays):] {
			add(d.Day, d.Hits)
		}
	}
	return p
}

// plottedDays is how many days a plot has at most: the last ones.
const plottedDays = 366

func agentTitle(a backtest.AgentCount) string {
	return cmp.Or(strings.TrimSpace(a.ID+" "+a.Name), "unknown")
}

// backtestWarnings are what a reader must not overlook.
func backtestWarnings(r backtest.Report) (list []string) {
	if r.Partial {
		list = append(list, "PARTIAL: interrupted; this is what was read so far")
	}
	for _, name := range slices.Sorted(maps.Keys(r.Short)) {
		list = append(list, fmt.Sprintf("CUT: there are more %s than are counted; the numbers of each may be up to %d too low", name, r.Short[name]))
	}
	return list
}

// backtestFacts say in sentences what was read and found.
func backtestFacts(r backtest.Report) []string {
	span := ""
	if r.Since != "" || r.Until != "" {
		span = fmt.Sprintf(", from %s to %s", cmp.Or(r.Since, "the first"), cmp.Or(r.Until, "the last"))
	}
	facts := []string{
		fmt.Sprintf("%s of %s%s", cli.Plural(r.Alerts, "alert"), cli.Plural(r.Files, "file"), span),
		fmt.Sprintf("%s of %s on %s, in %s (%s)", cli.Plural(r.Hits, "hit"), cli.Plural(len(r.Indicators), "indicator"),
			cli.Plural(len(r.Agents), "agent"), cli.Plural(r.AlertsHit, "alert"), share(r.AlertsHit, r.Alerts)),
		fmt.Sprintf("%s picked from %s (%s)", cli.Plural(r.Values, "value"), cli.Plural(r.Picked, "alert"), percent(r.Picked, r.Alerts)),
	}
	if list := numbers(r.NotReported); len(list) > 0 {
		facts = append(facts, "not reported: "+strings.Join(list, ", "))
	}
	var left []string
	note := func(n int, format string, args ...any) {
		if n > 0 {
			left = append(left, fmt.Sprintf(format, args...))
		}
	}
	note(r.Unreadable, "%s not an alert", cli.Plural(r.Unreadable, "line"))
	note(r.Own, "%s raised by events of this program", cli.Plural(r.Own, "alert"))
	note(r.OutOfSpan, "%s out of the time span", cli.Plural(r.OutOfSpan, "alert"))
	note(r.Undated, "%s without a time", cli.Plural(r.Undated, "alert"))
	note(r.Skipped, "%s of days out of the time span", cli.Plural(r.Skipped, "file"))
	note(r.Unread, "%s not readable to the end", cli.Plural(r.Unread, "file"))
	note(r.Links, "%s to a directory", cli.Plural(r.Links, "link"))
	if len(left) > 0 {
		facts = append(facts, "left out: "+strings.Join(left, ", "))
	}
	left = nil
	note(r.Torn, "%s behind a torn start of another judged", cli.Plural(r.Torn, "alert"))
	note(r.Failed, "a mapping failed on %s, see custom-misp explain --failures", cli.Plural(r.Failed, "alert"))
	note(r.Cut, "bounds left something out of %s, see custom-misp enrich", cli.Plural(r.Cut, "alert"))
	return append(facts, left...)
}

// share is percent for what is rare.
func share(n, of int) string {
	if of == 0 || n == 0 || n >= of/10 {
		return percent(n, of)
	}
	return fmt.Sprintf("%.2g %%", 100*float64(n)/float64(of))
}

// numbers returns "name 3" for each, sorted by name.
func numbers(counts map[string]int) (list []string) {
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		list = append(list, fmt.Sprintf("%s %d", name, counts[name]))
	}
	return list
}

// backtestTables are the tables of a report, in their order.
func backtestTables(r backtest.Report, indicators report.Table, rows int) []report.Section {
	mappings := tableOf("MAPPING", "VALUES", "HITS")
	for _, m := range first(r.Mappings, rows, &mappings) {
		mappings.Rows = append(mappings.Rows, []any{m.ID, m.Values, m.Hits})
	}
	agents := tableOf("AGENT", "HITS")
	for _, a := range first(r.Agents, rows, &agents) {
		agents.Rows = append(agents.Rows, []any{agentTitle(a), a.Hits})
	}
	days := tableOf("DAY (UTC)", "ALERTS", "HITS")
	last := r.Days
	if rows > 0 && len(last) > rows {
		days.More = fmt.Sprintf("… %d before, see --rows", len(last)-rows)
		last = last[len(last)-rows:]
	}
	for _, d := range last {
		days.Rows = append(days.Rows, []any{d.Day, d.Alerts, d.Hits})
	}
	list := []report.Section{
		orNothing(report.Section{Title: byIndicator, Table: indicators}),
		orNothing(report.Section{Title: byMapping, Intro: "Values picked, and hits on them.", Table: mappings}),
		orNothing(report.Section{Title: byAgent, Table: agents}),
		orNothing(report.Section{Title: byDay, Table: days}),
	}
	if r.Against != nil {
		list = append(comparisonTables(*r.Against, rows), list...)
	}
	return list
}

// narrowIndicators is the table of indicators for a terminal. What is known of a value stands below it.
func narrowIndicators(list []backtest.IndicatorCount, rows int) report.Table {
	t := tableOf("HITS", "AGENTS", "LAST", "TYPE", "VALUE, AND WHAT IT IS KNOWN BY")
	for _, i := range first(list, rows, &t) {
		event := strings.TrimSpace(i.EventID + " " + i.Info)
		if len(i.EventID) > 12 { // of a feed
			event = i.Info
		}
		t.Rows = append(t.Rows, []any{i.Hits, agentsOf(i), lastDay(i), i.Type, i.Value + " " + i.Verdict + ": " + shortened(event, 60)})
	}
	return t
}

// wideIndicators is the same for a page.
func wideIndicators(list []backtest.IndicatorCount, rows int) report.Table {
	t := tableOf("VALUE", "TYPE", "HITS", "AGENTS", "FIRST", "LAST", "VERDICT", "MISP EVENT", "SOURCE", "MAPPING", "FIRST ALERT")
	for _, i := range first(list, rows, &t) {
		t.Rows = append(t.Rows, []any{
			i.Value, i.Type, i.Hits, agentsOf(i), cmp.Or(i.First, unknownTime), cmp.Or(i.Last, unknownTime), i.Verdict, strings.TrimSpace(i.EventID + " " + i.Info),
			i.Origin, i.Mapping, i.Place,
		})
	}
	return t
}

// agentsOf says how many agents an indicator was seen on.
func agentsOf(i backtest.IndicatorCount) string {
	if i.More {
		return fmt.Sprintf("%d+", i.Agents)
	}
	return fmt.Sprint(i.Agents)
}

func lastDay(i backtest.IndicatorCount) string {
	day, _, _ := strings.Cut(i.Last, "T")
	return cmp.Or(day, unknownTime)
}

// unknownTime stands for a time that an alert does not say.
const unknownTime = "-"

// orNothing says that a table has no rows.
func orNothing(s report.Section) report.Section {
	if len(s.Table.Rows) == 0 {
		s.Intro, s.Table = "nothing", report.Table{}
	}
	return s
}

// comparisonTables show what a change of mappings adds and loses.
func comparisonTables(c backtest.Comparison, rows int) []report.Section {
	t := tableOf("MAPPING", "HITS ADDED", "HITS LOST", "PICKS ADDED", "PICKS LOST")
	examples := tableOf("MAPPING", "CHANGE", "TYPE", "ALERT", "VALUE")
	examples.Grouped = true
	for _, m := range first(c.Mappings, rows, &t) {
		t.Rows = append(t.Rows, []any{m.ID, m.HitsAdded, m.HitsLost, m.PicksAdded, m.PicksLost})
		for _, e := range m.Examples {
			examples.Rows = append(examples.Rows, []any{m.ID, e.Of + " " + e.Change, e.Type, e.Place, shortened(e.Value, 100)})
		}
	}
	intro := fmt.Sprintf("Hits: %d added, %d lost, in %s. Picks: %d added, %d lost, in %s.", c.HitsAdded, c.HitsLost, cli.Plural(c.AlertsHits, "alert"),
		c.PicksAdded, c.PicksLost, cli.Plural(c.Alerts, "alert"))
	list := []report.Section{{Title: "What the change of mappings adds and loses", Intro: intro, Table: t}}
	if len(t.Rows) == 0 {
		list[0].Table = report.Table{}
		return list
	}
	return append(list, report.Section{Title: "Examples of what changes", Table: examples})
}
