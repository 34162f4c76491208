package main

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/engine"
	"custom-misp/engine/mappingtest"
)

// coverageFlags are the flags of the verb coverage.
type coverageFlags struct {
	output   string
	mappings []string
	own      []string
	rows     int
}

func newCoverage(s cli.Streams, g *globals) *cobra.Command {
	var f coverageFlags
	cmd := &cobra.Command{
		Use:   "coverage [flags] FILE|DIR...|-",
		Short: "Count what the mappings pick from your alerts, and list what they do not pick",
		Long: `Run the mappings over alerts without looking anything up. Count for each decoder and rule group: alerts, alerts with a
picked value, values by type. Then list, by path and type, values that look like indicators but are not picked.

A FILE is read as enrich reads it. In a DIR, all *.json, *.jsonl and *.ndjson below it are read, also compressed as .gz, and
each file once. Addresses that are
not public do not count, and neither do your own values (--own). The raw log and the envelope of an alert (rule, agent,
manager, decoder, location) are not searched.`,
		Example: `  custom-misp coverage /var/ossec/logs/alerts
  custom-misp coverage --own corp.example --own 192.31.196.0/24 alerts.json
  custom-misp coverage --output json -m my-mappings alerts.json.gz`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cli.WrongUsef("no alerts named; name files or directories, or - for standard input")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return coverage(s, *g, f, args) },
	}
	cmd.Flags().StringArrayVarP(&f.mappings, "mappings", "m", nil, "file or directory with more mappings; may be repeated")
	cmd.Flags().StringArrayVar(&f.own, "own", nil, "your own domain or network, which does not count as an indicator; may be repeated")
	cmd.Flags().IntVar(&f.rows, "rows", 30, "maximum rows of each table; 0 for all")
	outputFlag(cmd, &f.output, "table", "table", "json")
	return cmd
}

// counted is a coverage as readAlerts fills it.
type counted struct{ *mappingtest.Coverage }

func (c *counted) add(_ int, alert []byte) { c.Add(alert) }
func (c *counted) skip()                   { c.Skip() }
func (c *counted) merge(o *counted)        { c.Merge(o.Coverage) }

func coverage(s cli.Streams, g globals, f coverageFlags, args []string) error {
	e, err := loadEngine(g.known(s.Err), f.mappings, s)
	if err != nil {
		return err
	}
	own, err := ownValues(f.own)
	if err != nil {
		return err
	}
	files, size, err := alertFiles(args)
	if err != nil {
		return err
	}
	total, failed := readAlerts(s, files, size, func() *counted { return &counted{mappingtest.NewCoverage(e, own)} })
	report := total.Report()
	if f.output == "json" {
		err = cli.WriteJSON(s.Out, report)
	} else {
		err = writeCoverage(s.Out, report, f.rows)
	}
	if err == nil && failed {
		err = cli.ErrReported
	}
	return err
}

// ownValues returns what tells values of the site's own from others.
func ownValues(own []string) (func(engine.Type, string) bool, error) {
	var networks []netip.Prefix
	var domains []string
	for _, o := range own {
		if p, err := netip.ParsePrefix(o); err == nil {
			networks = append(networks, p)
			continue
		}
		domain, err := engine.Type("domain").Normal(o)
		if err != nil {
			return nil, cli.WrongUsef("--own %q is neither a domain nor a network like 192.31.196.0/24", o)
		}
		domains = append(domains, domain)
	}
	return func(t engine.Type, value string) bool {
		if a, err := netip.ParseAddr(value); err == nil {
			return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(a) })
		}
		host := value
		switch t.Family() {
		case "url":
			_, rest, _ := strings.Cut(value, "://")
			host = strings.FieldsFunc(rest+"/", func(r rune) bool { return strings.ContainsRune("/?#:", r) })[0]
		case "email":
			_, host, _ = strings.Cut(value, "@")
		}
		return slices.ContainsFunc(domains, func(d string) bool { return host == d || strings.HasSuffix(host, "."+d) })
	}, nil
}

func writeCoverage(out io.Writer, r mappingtest.Report, rows int) error {
	t := cli.NewTable(out)
	t.Row(fmt.Sprintf("%d alerts, %d with a value picked (%s), %d unreadable", r.Alerts, r.Matched, percent(r.Matched, r.Alerts), r.Unreadable))
	t.Row(fmt.Sprintf("%d with a value picked or one that looks like an indicator, of which %s are picked from",
		r.Matched+r.Bare, percent(r.Matched, r.Matched+r.Bare)))
	t.Row("picked: " + typeCounts(r.Values))
	t.Row(fmt.Sprintf("%d alerts of which only the fallback picks", r.ByFallback))
	// more says how many rows are left out; true at the first that is.
	more := func(i, all int) bool {
		if rows == 0 || i < rows {
			return false
		}
		t.Row(fmt.Sprintf("… %d more, see --rows", all-rows))
		return true
	}
	count := func(title string, list []mappingtest.Row) {
		t.Row()
		t.Row(title, "ALERTS", "MATCHED", "", "PICKED")
		for i, row := range list {
			if more(i, len(list)) {
				break
			}
			t.Row(row.Name, row.Alerts, row.Matched, percent(row.Matched, row.Alerts), typeCounts(row.Values))
		}
	}
	count("DECODER", r.Decoders)
	count("GROUP", r.Groups)
	if len(r.Fallback) > 0 {
		t.Row()
		t.Row("PICKED BY THE FALLBACK: DECODER", "PATH", "TYPE", "COUNT", "EXAMPLE")
		for i, f := range r.Fallback {
			if more(i, len(r.Fallback)) {
				break
			}
			t.Row(f.Decoder, f.Path, f.Type, f.Count, shortened(f.Example, 70))
		}
	}
	t.Row()
	t.Row("LOOKS LIKE AN INDICATOR, NOT PICKED", "TYPE", "COUNT", "EXAMPLE")
	for i, u := range r.Unpicked {
		if more(i, len(r.Unpicked)) {
			break
		}
		t.Row(u.Path, u.Type, u.Count, shortened(u.Example, 70))
	}
	if len(r.Unpicked) == 0 {
		t.Row("nothing")
	}
	return t.Flush()
}

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
