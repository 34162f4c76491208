package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/engine/wazuh"
)

// enrichFlags are the flags of the verb enrich.
type enrichFlags struct {
	dryRun   bool
	output   string
	mappings []string
	where    lookupPlace
}

func newEnrich(s streams, g *globalFlags) *cobra.Command {
	var f enrichFlags
	cmd := &cobra.Command{
		Use:   "enrich [flags] FILE...|-",
		Short: "Enrich alerts from files or standard input and print the events",
		Long: `Enrich alerts and print the events that would be sent to Wazuh; nothing is sent.

A FILE holds one alert, or one alert a line like Wazuh's alerts.json; gzip is recognised. With --feed the
values are looked up in a directory in MISP feed format, otherwise in the configured MISP.`,
		Example: `  custom-misp enrich --feed testdata/feed testdata/alerts/*.json
  custom-misp enrich --url https://misp.example.org --key-file ~/misp.key alert.json
  custom-misp enrich --dry-run --output json /var/ossec/logs/alerts/alerts.json
  zcat old-alerts.json.gz | custom-misp enrich --dry-run -`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return wrongUsef("no alert file named; name files, or - for standard input")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			given, err := f.where.given()
			if err != nil {
				return err
			}
			return enrichFiles(cmd.Context(), s, *g, f, given, args)
		},
	}
	f.where.flags(cmd)
	cmd.Flags().BoolVarP(&f.dryRun, "dry-run", "n", false, "ask nobody; print what would be asked")
	cmd.Flags().StringArrayVarP(&f.mappings, "mappings", "m", nil, "file or directory with further mappings; may be repeated")
	outputFlag(cmd, &f.output, "", "table", "json")
	cmd.Flags().Lookup("output").Usage = "form of the results: table or json, one line each (default json; table with --dry-run)"
	return cmd
}

func enrichFiles(ctx context.Context, st streams, g globalFlags, f enrichFlags, given map[string]any, files []string) error {
	s, _, e, err := loadEngine(g, given, f.mappings, st)
	if err != nil {
		return err
	}
	if f.output == "" {
		f.output = map[bool]string{true: "table", false: "json"}[f.dryRun]
	}
	if f.dryRun {
		return dryRun(ctx, e, st, f.output, files)
	}
	lookup, err := newLookup(s, quietly())
	if err != nil {
		return err
	}
	sink := newPrinter(st.out, f.output)
	each := lookUp(ctx, &enrich.Pipeline{
		Engine: e, Lookup: lookup, Sink: sink, Link: s.text("misp.url"), Filter: s.filter(), Unlimited: s.text("lookup.policy") == policyMirror,
	}, s, st)
	failed := false
	for _, name := range files {
		err := eachAlert(name, st.in, func(where string, a enrich.Alert, err error) error {
			if err == nil {
				err = each(a)
			}
			if err != nil {
				failed = true
				fmt.Fprintf(st.err, "%s: %v\n", where, err)
			}
			if _, stop := errors.AsType[*enrich.Trouble](err); stop || ctx.Err() != nil {
				return errSilent // the next alert would only meet the same trouble
			}
			return nil
		})
		if err != nil {
			_ = sink.finish()
			return err
		}
	}
	if err := sink.finish(); err != nil {
		return err
	}
	if failed {
		return errSilent
	}
	return nil
}

// lookUp returns what is done with each alert when MISP is asked.
func lookUp(ctx context.Context, p *enrich.Pipeline, s *settings, st streams) func(enrich.Alert) error {
	return func(a enrich.Alert) error {
		if wazuh.IsEnrichment(a.JSON) {
			return nil
		}
		ctx, cancel := context.WithTimeout(ctx, s.duration("timeout"))
		defer cancel()
		out, err := p.Process(ctx, a)
		if out.Warning != nil {
			fmt.Fprintln(st.err, out.Warning)
		}
		if out.Unasked > 0 {
			fmt.Fprintf(st.err, "alert %s has more values than MISP is asked for: %d are left out\n", cleanCell(a.Source.AlertID), out.Unasked)
		}
		return err
	}
}

// observableLine is one observable in the output of a dry run.
type observableLine struct {
	Type    engine.Type `json:"type"`
	Value   string      `json:"value"`
	Mapping string      `json:"mapping"`
	Path    string      `json:"path"`
	Also    []alsoLine  `json:"also,omitempty"`
}

// alsoLine is a further place at which the same value was picked.
type alsoLine struct {
	Type    engine.Type `json:"type"`
	Mapping string      `json:"mapping"`
	Path    string      `json:"path"`
}

// picked is an alert, or why it is none, with what was picked from it.
type picked struct {
	where       string
	alert       enrich.Alert
	observables []engine.Observable
	err         error // it is no alert
	warning     error // mappings that failed on it
}

// dryRun picks from the alerts on all cores and prints in their order.
func dryRun(ctx context.Context, e *engine.Engine, st streams, output string, files []string) error {
	type item struct {
		at   position
		text []byte
		err  error
	}
	read := func(yield func(item) error) error {
		for _, name := range files {
			err := eachText(name, st.in, nil, func(at position, text []byte, err error) error {
				if ctx.Err() != nil {
					return errSilent
				}
				return yield(item{at, text, err})
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	pick := func(i item) picked {
		p := picked{where: i.at.String(), err: i.err}
		if p.err == nil {
			p.alert, p.err = enrich.ParseAlert(i.text)
		}
		if p.err == nil && !wazuh.IsEnrichment(p.alert.JSON) {
			p.observables, p.warning = e.Pick(p.alert.JSON)
		}
		return p
	}
	show, finish := showPicked(st, output)
	failed := false
	err := inOrder(read, pick, func(p picked) error {
		if p.err == nil {
			p.err = show(p)
		}
		if p.err != nil {
			failed = true
			fmt.Fprintf(st.err, "%s: %v\n", p.where, p.err)
		}
		return nil
	})
	if err = cmp.Or(err, finish()); err == nil && failed {
		err = errSilent
	}
	return err
}

// showPicked returns what prints the values that were picked from an alert, and what is done at the end.
func showPicked(st streams, output string) (func(picked) error, func() error) {
	table := tabwriter.NewWriter(st.out, 0, 8, 2, ' ', 0)
	if output == "table" {
		fmt.Fprintln(table, "ALERT\tRULE\tTYPE\tVALUE\tMAPPING\tPATH")
	}
	enc := json.NewEncoder(st.out)
	enc.SetEscapeHTML(false)
	show := func(p picked) error {
		a, observables := p.alert, p.observables
		if p.warning != nil {
			fmt.Fprintln(st.err, p.warning)
		}
		if output == "table" {
			for _, o := range observables {
				for _, p := range o.Picks {
					fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", a.Source.AlertID, a.Source.RuleID, p.Type,
						cleanCell(o.Value), p.Mapping, p.Path)
				}
			}
			return nil
		}
		line := struct {
			AlertID     string           `json:"alert_id"`
			RuleID      string           `json:"rule_id"`
			Observables []observableLine `json:"observables"`
		}{a.Source.AlertID, a.Source.RuleID, []observableLine{}}
		for _, o := range observables {
			l := observableLine{Type: o.Type, Value: o.Value, Mapping: o.Picks[0].Mapping, Path: o.Picks[0].Path}
			for _, p := range o.Picks[1:] {
				l.Also = append(l.Also, alsoLine{p.Type, p.Mapping, p.Path})
			}
			line.Observables = append(line.Observables, l)
		}
		return enc.Encode(line)
	}
	return show, table.Flush
}

// cleanCell keeps a value from an alert from breaking the table or the terminal.
func cleanCell(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '?'
		}
		return r
	}, s)
}

// printer is a sink that prints events instead of sending them.
type printer struct {
	out   io.Writer
	table *tabwriter.Writer // nil: one JSON event a line
}

func newPrinter(out io.Writer, output string) *printer {
	p := &printer{out: out}
	if output == "table" {
		p.table = tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
		fmt.Fprintln(p.table, "ALERT\tRULE\tTYPE\tVALUE\tMISP EVENT\tTHREAT\tTO_IDS\tINFO")
	}
	return p
}

// Send implements enrich.Sink.
func (p *printer) Send(_ context.Context, e enrich.Enrichment) error {
	if p.table == nil {
		event, err := e.JSON()
		if err != nil {
			return err
		}
		_, err = p.out.Write(append(bytes.TrimSpace(event), '\n'))
		return err
	}
	b := e.Body
	if b.Error != "" {
		return nil // told on standard error already
	}
	_, err := fmt.Fprintf(p.table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", b.Source.AlertID, b.Source.RuleID, b.Observable.Type,
		cleanCell(b.Observable.Value), cleanCell(b.EventID), b.Event.ThreatLevel, b.ToIDs, cleanCell(b.Event.Info))
	return err
}

func (p *printer) finish() error {
	if p.table == nil {
		return nil
	}
	return p.table.Flush()
}
