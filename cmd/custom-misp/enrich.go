package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/engine/wazuh"
)

// enrichFlags are the flags of the verb enrich.
type enrichFlags struct {
	dryRun   bool
	output   string
	mappings []string
	where    whereFlags
}

func newEnrich(s cli.Streams, g *globals) *cobra.Command {
	var f enrichFlags
	cmd := &cobra.Command{
		Use:   "enrich [flags] FILE...|-",
		Short: "Enrich alerts from files or standard input and print the events",
		Long: `Enrich alerts and print the events that a call would send to Wazuh, as a table on a terminal. Nothing is sent.

A FILE holds one alert, one alert per line like Wazuh's alerts.json, a JSON array of alerts, the answer of a search, or a CSV
export of Wazuh's dashboard. It may be compressed with gzip. Values are looked up where lookup.policy says. --feed looks them up in
a directory in MISP feed format, --url in another MISP.`,
		Example: `  custom-misp enrich --feed testdata/feed testdata/alerts/*.json
  custom-misp enrich --url https://misp.example.org --key-file ~/misp.key alert.json
  custom-misp enrich --dry-run --output json /var/ossec/logs/alerts/alerts.json
  zcat old-alerts.json.gz | custom-misp enrich --dry-run -`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cli.WrongUsef("no alert file named; name files, or - for standard input")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return enrichFiles(cmd.Context(), s, *g, f, args)
		},
	}
	f.where.add(cmd)
	cmd.Flags().BoolVarP(&f.dryRun, "dry-run", "n", false, "look nothing up; print the picked values")
	cmd.Flags().StringArrayVarP(&f.mappings, "mappings", "m", nil, "file or directory with more mappings; may be repeated")
	outputFlag(cmd, &f.output, "", "table", "json")
	cmd.Flags().Lookup("output").Usage = "output format: table, or json, one line each (default table on a terminal and with --dry-run, else json)"
	return cmd
}

func enrichFiles(ctx context.Context, st cli.Streams, g globals, f enrichFlags, files []string) error {
	c, err := g.configured(f.where.Flags)
	if err != nil {
		return err
	}
	if f.output == "" {
		f.output = map[bool]string{true: "table", false: "json"}[f.dryRun || cli.IsTerminal(st.Out)]
	}
	if f.dryRun {
		e, err := loadEngine(c, f.mappings, st)
		if err != nil {
			return err
		}
		return dryRun(ctx, c, e, st, f.output, files)
	}
	sink := newPrinter(st.Out, f.output)
	joined, stop := context.WithCancel(ctx)
	defer stop() // of the questions
	a, err := app.Build(c, app.Hooks{Sink: sink, Mappings: f.mappings, Join: joined})
	if a != nil {
		defer a.Close()
		defer stop() // before: questions whose answers no one waits for
	}
	if err != nil {
		return err
	}
	if len(a.Faults) > 0 {
		cli.PrintFaults(st.Err, a.Faults)
		return cli.ErrReported
	}
	pipeline := a.Chain.Pipeline
	pipeline.Lookup = a.Lookup
	failed, err := enrichEach(ctx, &pipeline, st, files)
	if err := cmp.Or(err, sink.finish()); err != nil {
		return err
	}
	if failed {
		return cli.ErrReported
	}
	return nil
}

// enrichWindow is how many alerts are worked on at the same time: what they look up is joined in common questions.
const enrichWindow = 1000

// taken is what became of an alert.
type taken struct {
	read   readText
	alert  enrich.Alert
	out    enrich.Outcome
	events []enrich.Enrichment
	err    error
}

// enrichEach takes the alerts of files through a pipeline, many at a time, and hands their events over in the order of the
// alerts. failed says that some could not be. It ends at the first alert that cannot be looked up: the next one would only
// meet the same trouble.
func enrichEach(ctx context.Context, p *enrich.Pipeline, st cli.Streams, files []string) (failed bool, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	sink, unread := p.Sink, newBudget()
	produce := func(yield func(readText) error) error {
		return apart(ctx, func(yield func(readText) error) error { return readTexts(st, files, yield) }, func(r readText) error {
			if err := unread.take(ctx, len(r.text)); err != nil {
				return err
			}
			return yield(r)
		})
	}
	consume := func(t taken) error {
		unread.giveBack(len(t.read.text))
		if ctx.Err() != nil {
			return cli.ErrReported
		}
		t.report(st)
		for _, e := range t.events {
			if t.err == nil {
				t.err = sink.Send(ctx, e)
			}
		}
		if t.err == nil {
			return nil
		}
		failed = true
		cli.PrintError(st.Err, t.read.at.String(), t.err)
		if _, trouble := errors.AsType[*enrich.Trouble](t.err); trouble {
			stop()
			return cli.ErrReported
		}
		return nil
	}
	err = enrich.InOrder(enrichWindow, produce, func(r readText) taken { return take(ctx, p, r) }, consume)
	return failed, err
}

// readTexts yields the texts of the alerts of files.
func readTexts(st cli.Streams, files []string, yield func(readText) error) error {
	for _, name := range files {
		err := eachText(name, st, nil, func(at wazuh.Position, text []byte, err error) error { return yield(readText{at, text, err}) })
		if err != nil {
			return err
		}
	}
	return nil
}

// take takes a text through a pipeline, and keeps its events.
func take(ctx context.Context, p *enrich.Pipeline, r readText) taken {
	t := taken{read: r, err: r.err}
	if t.err == nil {
		t.alert, t.err = enrich.ParseAlert(r.text)
	}
	if t.err != nil || wazuh.IsEnrichment(t.alert.JSON) {
		return t
	}
	mine := *p
	mine.Sink = (*kept)(&t.events)
	t.out, t.err = mine.Process(ctx, t.alert)
	return t
}

// report prints what is to be said of an alert besides its events.
func (t taken) report(st cli.Streams) {
	if t.out.Warning != nil {
		cli.PrintError(st.Err, "alert "+t.alert.Source.AlertID, t.out.Warning)
	}
	for _, c := range t.out.Cuts {
		cli.PrintError(st.Err, "alert "+t.alert.Source.AlertID, errors.New(c.String()))
	}
}

// kept is a sink that keeps events.
type kept []enrich.Enrichment

// Send implements enrich.Sink.
func (k *kept) Send(_ context.Context, e enrich.Enrichment) error {
	*k = append(*k, e)
	return nil
}

// loadEngine loads the configured mappings, and those that are named. Unlike a call by integratord, a verb stops at a
// fault in any of them, after printing all.
func loadEngine(c *config.Config, named []string, s cli.Streams) (*engine.Engine, error) {
	e, faults, err := app.Engine(c, named...)
	if err != nil {
		return nil, err
	}
	if len(faults) > 0 {
		cli.PrintFaults(s.Err, faults)
		return nil, cli.ErrReported
	}
	return e, nil
}

// observableLine is one observable in the output of a dry run.
type observableLine struct {
	Type    engine.Type `json:"type"`
	Value   string      `json:"value"`
	Mapping string      `json:"mapping"`
	Path    string      `json:"path"`
	// Asked is false for a value that MISP is not asked for live; left out for others.
	Asked   *bool      `json:"asked,omitempty"`
	Encoded bool       `json:"encoded,omitempty"`
	Also    []alsoLine `json:"also,omitempty"`
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
	cuts        []engine.Cut
	err         error // it is no alert
	warning     error // mappings that failed on it
}

// dryRun picks from the alerts on all cores and prints in their order.
func dryRun(ctx context.Context, c *config.Config, e *engine.Engine, st cli.Streams, output string, files []string) error {
	pick := func(items []readText) []picked {
		all := make([]picked, len(items))
		for n, i := range items {
			p := picked{where: i.at.String(), err: i.err}
			if p.err == nil {
				p.alert, p.err = enrich.ParseAlert(i.text)
			}
			if p.err == nil && !wazuh.IsEnrichment(p.alert.JSON) {
				p.observables, p.cuts, p.warning = e.PickWithCuts(p.alert.JSON)
			}
			all[n] = p
		}
		return all
	}
	show, finish := showPicked(c, st, output)
	failed := false
	produce := func(yield func([]readText) error) error { return readBatches(ctx, st, files, yield) }
	err := enrich.InOrder(2*runtime.GOMAXPROCS(0), produce, pick, func(all []picked) error {
		for _, p := range all {
			if p.err == nil {
				p.err = show(p)
			}
			if p.err != nil {
				failed = true
				cli.PrintError(st.Err, p.where, p.err)
			}
		}
		return nil
	})
	if err = cmp.Or(err, finish()); err == nil && failed {
		err = cli.ErrReported
	}
	return err
}

// readBatches reads files and yields the texts of alerts, many at a time.
func readBatches(ctx context.Context, st cli.Streams, files []string, yield func([]readText) error) error {
	const batch = 64
	var items []readText
	for _, name := range files {
		err := eachText(name, st, nil, func(at wazuh.Position, text []byte, err error) error {
			if ctx.Err() != nil {
				return cli.ErrReported
			}
			if items = append(items, readText{at, text, err}); len(items) < batch {
				return nil
			}
			full := items
			items = nil
			return yield(full)
		})
		if err != nil {
			_ = yield(items) // what was read before an error is done all the same
			return err
		}
	}
	return yield(items)
}

// showPicked returns what prints the values that were picked from an alert, and what is done at the end.
func showPicked(c *config.Config, st cli.Streams, output string) (func(picked) error, func() error) {
	var headers []string
	if output == "table" {
		headers = []string{"ALERT", "RULE", "TYPE", "VALUE", "MAPPING", "PATH"}
	}
	table := cli.NewTable(st.Out, headers...)
	show := func(p picked) error {
		a, observables := p.alert, p.observables
		if p.warning != nil {
			cli.PrintError(st.Err, p.where, p.warning)
		}
		for _, c := range p.cuts {
			cli.PrintError(st.Err, p.where, errors.New(c.String()))
		}
		if output == "table" {
			for _, o := range observables {
				for _, p := range o.Picks {
					table.Row(a.Source.AlertID, a.Source.RuleID, p.Type, o.Value, p.Mapping, p.Path+unasked(c, &o))
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
			l := observableLine{Type: o.Type, Value: o.Value, Mapping: o.Picks[0].Mapping, Path: o.Picks[0].Path, Encoded: o.Picks[0].Encoded}
			if !c.AsksLive(&o) {
				l.Asked = new(false)
			}
			for _, p := range o.Picks[1:] {
				l.Also = append(l.Also, alsoLine{p.Type, p.Mapping, p.Path})
			}
			line.Observables = append(line.Observables, l)
		}
		return cli.WriteJSONLine(st.Out, line)
	}
	return show, table.Flush
}

// unasked says that MISP is not asked for a value live; empty if it is.
func unasked(c *config.Config, o *engine.Observable) string {
	if c.AsksLive(o) {
		return ""
	}
	return " (not asked live)"
}

// printer is a sink that prints events instead of sending them.
type printer struct {
	out   io.Writer
	table *cli.Table // nil: one JSON event a line
}

func newPrinter(out io.Writer, output string) *printer {
	p := &printer{out: out}
	if output == "table" {
		p.table = cli.NewTable(out, "VALUE", "VERDICT", "MISP EVENT", "AGENT", "ALERT")
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
		_, err = p.out.Write(append(cli.EscapeJSON(bytes.TrimSpace(event)), '\n'))
		return err
	}
	b := e.Body
	if b.Error != "" {
		return nil // told on standard error already
	}
	p.table.Row(b.Observable.Value, b.Verdict(), strings.TrimSpace(b.EventID+" "+b.Event.Info), agentOf(e), b.Source.AlertID)
	return nil
}

// agentOf names the agent of an event for a person: by its name, or the host that Wazuh watches without one.
func agentOf(e enrich.Enrichment) string {
	if a := e.Body.Source.Agentless; a != nil {
		return a.Host + " (agentless)"
	}
	return cmp.Or(e.Agent.Name, e.Agent.ID, "-")
}

func (p *printer) finish() error {
	if p.table == nil {
		return nil
	}
	return p.table.Flush()
}
