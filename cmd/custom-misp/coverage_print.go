package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/report"
	"custom-misp/engine"
	"custom-misp/engine/mappingtest"
)

// This file prints what coverage has counted: as tables that fit every terminal, and as a page.

// coverageTables are the tables of a report, in their order.
func coverageTables(r mappingtest.Report, rows int) []report.Section {
	list := []report.Section{
		mappingTable(r.Mappings, rows), pickTable(r.Mappings, rows),
		countTable("By decoder", "DECODER", r.Decoders, rows), countTable("By rule group", "GROUP", r.Groups, rows),
	}
	if len(r.Fallback) > 0 {
		t := tableOf("DECODER", "PATH", "TYPE", "COUNT", "EXAMPLE")
		for _, f := range first(r.Fallback, rows, &t) {
			t.Rows = append(t.Rows, []any{f.Decoder, f.Path, f.Type, f.Count, shortened(f.Example, 70)})
		}
		list = append(list, report.Section{Title: "Picked by the fallback", Intro: "Events of which no other mapping knows.", Table: t})
	}
	t := tableOf("PATH", "TYPE", "COUNT", "EXAMPLE")
	for _, u := range first(r.Unpicked, rows, &t) {
		t.Rows = append(t.Rows, []any{u.Path, u.Type, u.Count, shortened(u.Example, 70)})
	}
	intro := ""
	if len(r.Unpicked) == 0 {
		intro, t = "nothing", report.Table{}
	}
	return append(list, report.Section{Title: "Looks like an indicator, not picked", Intro: intro, Table: t})
}

func tableOf(headers ...string) report.Table { return report.Table{Headers: headers} }

// first returns the first rows of a table, all for 0, and notes in the table what is left out.
func first[T any](list []T, rows int, t *report.Table) []T {
	if rows == 0 || len(list) <= rows {
		return list
	}
	t.More = fmt.Sprintf("… %d more, see --rows", len(list)-rows)
	return list[:rows]
}

func countTable(title, header string, list []mappingtest.Row, rows int) report.Section {
	t := tableOf(header, "ALERTS", "MATCHED", "", "PICKED")
	for _, row := range first(list, rows, &t) {
		t.Rows = append(t.Rows, []any{row.Name, row.Alerts, row.Matched, percent(row.Matched, row.Alerts), typeCounts(row.Values)})
	}
	return report.Section{Title: title, Table: t}
}

func mappingTable(list []engine.MappingCount, rows int) report.Section {
	t := tableOf("MAPPING", "CONSIDERED", "MATCHED", "PICKED FROM", "VALUES", "DROPPED")
	for _, m := range first(list, rows, &t) {
		t.Rows = append(t.Rows, []any{m.ID, m.Considered, m.Matched, m.PickedFrom, m.Picked, m.Dropped})
	}
	return report.Section{
		Title: "By mapping", Intro: "The first three count alerts; one is considered if it has a group, decoder or field that the mapping needs.", Table: t,
	}
}

// pickTable lists the picks of mappings that match, and why candidates were dropped.
func pickTable(list []engine.MappingCount, rows int) report.Section {
	t := tableOf("MAPPING", "PICK", "TYPE", "FOUND", "VALUES", "DROPPED")
	t.Grouped = true
	type one struct {
		mapping engine.MappingCount
		pick    engine.PickCount
	}
	var picks []one
	for _, m := range list {
		for _, p := range m.Picks {
			idle := len(p.Names) > 0 && p.Picked+len(p.Dropped) == 0 // of which a mapping may have many
			if m.Matched > 0 && !idle {
				picks = append(picks, one{m, p})
			}
		}
	}
	for _, o := range first(picks, rows, &t) {
		found := "-" // a pick by name
		if len(o.pick.Names) == 0 {
			found = strconv.Itoa(o.mapping.Matched - o.pick.NotApplied - o.pick.Absent)
		}
		t.Rows = append(t.Rows, []any{o.mapping.ID, o.pick.Title(), o.pick.Type, found, o.pick.Picked, dropped(o.pick)})
	}
	return report.Section{
		Title: "By pick", Intro: "Of the alerts that the mapping matches: in how many there was something, values picked, candidates dropped.", Table: t,
	}
}

// dropped says how many candidates a pick dropped, and why.
func dropped(p engine.PickCount) string {
	var parts []string
	for _, reason := range p.Reasons() {
		parts = append(parts, fmt.Sprintf("%d %s", p.Dropped[reason], reason))
	}
	if p.Empty > 0 {
		parts = append(parts, fmt.Sprintf("%d without a candidate", p.Empty))
	}
	if p.NotApplied > 0 {
		parts = append(parts, fmt.Sprintf("%d not applied", p.NotApplied))
	}
	return cmp.Or(strings.Join(parts, ", "), "0")
}

// coverageFacts say in sentences what was counted.
func coverageFacts(r mappingtest.Report) []string {
	return []string{
		fmt.Sprintf("%d alerts, %d with a value picked (%s), %d unreadable", r.Alerts, r.Matched, percent(r.Matched, r.Alerts), r.Unreadable),
		fmt.Sprintf("%d alerts have a possible indicator; the mappings pick a value from %s of them",
			r.Matched+r.Bare, percent(r.Matched, r.Matched+r.Bare)),
		"picked: " + typeCounts(r.Values),
		fmt.Sprintf("%d alerts of which only the fallback picks", r.ByFallback),
	}
}

// coverageWarnings name mappings that match and pick nothing.
func coverageWarnings(r mappingtest.Report) []string {
	var idle []string
	for _, m := range r.Mappings {
		if m.Matched > 0 && m.PickedFrom == 0 && !m.Fallback {
			idle = append(idle, m.ID)
		}
	}
	if len(idle) == 0 {
		return nil
	}
	const named = 20
	text := "match alerts and pick nothing: " + strings.Join(idle[:min(named, len(idle))], ", ")
	if len(idle) > named {
		text += fmt.Sprintf(" and %d more", len(idle)-named)
	}
	return []string{text}
}

func writeCoverage(out io.Writer, r mappingtest.Report, rows int) error {
	var b strings.Builder
	for _, fact := range slices.Concat(coverageFacts(r), coverageWarnings(r)) {
		b.WriteString(cli.Wrap(fact))
	}
	if err := writeSections(&b, coverageTables(r, rows)); err != nil {
		return err
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// writeSections writes the tables of a page for a terminal.
func writeSections(b *strings.Builder, sections []report.Section) error {
	for _, s := range sections {
		b.WriteString("\n" + cli.Wrap(strings.ToUpper(s.Title)))
		if s.Intro != "" {
			b.WriteString(cli.Wrap(s.Intro))
		}
		if len(s.Table.Headers) == 0 {
			continue
		}
		headers, group := s.Table.Headers, any(nil)
		if s.Table.Grouped {
			headers = headers[1:]
		}
		t := cli.NewNarrowTable(b, headers...)
		for _, row := range s.Table.Rows {
			if s.Table.Grouped {
				if row[0] != group {
					group = row[0]
					t.Row(group)
				}
				row = slices.Concat([]any{fmt.Sprint("  ", row[1])}, row[2:])
			}
			t.Row(row...)
		}
		if err := t.Flush(); err != nil {
			return err
		}
		if s.Table.More != "" {
			b.WriteString(cli.Wrap(s.Table.More))
		}
	}
	return nil
}

func writeCoveragePage(out io.Writer, r mappingtest.Report, rows int) error {
	sections := coverageTables(r, rows)
	for i, list := range [][]mappingtest.Row{r.Decoders, r.Groups} {
		s := &sections[2+i]
		s.Plot.Unit = "alerts"
		for _, row := range list[:min(plotted, len(list))] {
			s.Plot.Bars = append(s.Plot.Bars, report.Bar{Label: row.Name, Number: row.Alerts})
		}
	}
	return report.Page{
		Title: "Coverage of the mappings", Facts: coverageFacts(r), Warnings: coverageWarnings(r), Sections: sections,
	}.Write(out)
}

// plotted is how many bars a plot has at most.
const plotted = 15

// shortened cuts a text to so many characters.
func shortened(s string, most int) string {
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}

func percent(n, of int) string {
	if of == 0 {
		return "0 %"
	}
	return fmt.Sprintf("%.0f %%", 100*float64(n)/float64(of))
}

func typeCounts(values map[engine.Type]int) string {
	var parts []string
	for t, n := range values {
		parts = append(parts, fmt.Sprintf("%s %d", t, n))
	}
	slices.Sort(parts)
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}
