package main

import (
	"context"
	"errors"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/backtest"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine"
	"custom-misp/engine/enrich"
)

// backtestFlags are the flags of the verb backtest.
type backtestFlags struct {
	output       string
	since, until string
	mappings     []string
	against      []string
	rows         int
	where        config.Flags
}

func newBacktest(s cli.Streams, g *globals) *cobra.Command {
	var f backtestFlags
	cmd := &cobra.Command{
		Use:   "backtest [flags] FILE|DIR...|-",
		Short: "Count what today's mappings and mirror would have reported of old alerts, and what a change of mappings adds and loses",
		Long: `Judge old alerts as serve does, with the mappings, filters, ignores and mutes of today, in the mirror of today. Nothing is sent,
and no server is asked. Count the hits by indicator, mapping, agent and day. A hit is an event that would be sent, before the
repeat window and the rate.

A FILE is read as enrich reads it. In a DIR, all *.json, *.jsonl and *.ndjson below it are read, also compressed as .gz, and
each file once; links to directories are not followed. With --since or --until, files whose name has a day that is out of the span
are skipped.

--mappings takes the place of mappings.dirs; the built-in mappings stay. With --against, the same is done with the mappings
before a change, and what differs is shown with examples.

Lines that are no alerts are counted, and so are alerts behind a torn start of another, which are judged. Exit code 1 means that
a line or a file could not be read, 130 that the run was interrupted: what was read so far is shown as partial.`,
		Example: `  custom-misp backtest /var/ossec/logs/alerts
  custom-misp backtest --since 30d --output html /var/ossec/logs/alerts > backtest.html
  custom-misp backtest --since 2026-11-01 --until 2026-11-07 --mappings new --against /var/ossec/etc/custom-misp/mappings /var/ossec/logs/alerts/2026/Nov`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cli.WrongUsef("no alerts named; name files or directories, or - for standard input")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runBacktest(cmd.Context(), s, *g, f, args) },
	}
	cmd.Flags().StringVar(&f.since, "since", "", "only alerts from then on: a day like 2026-11-25, a time like 2026-11-25T10:00:00Z, or how long ago, like 30d (UTC)")
	cmd.Flags().StringVar(&f.until, "until", "", "only alerts up to then: the end of a day, a time, or how long ago")
	cmd.Flags().StringArrayVarP(&f.mappings, "mappings", "m", nil, "file or directory with mappings, instead of mappings.dirs; may be repeated")
	cmd.Flags().StringArrayVar(&f.against, "against", nil, "file or directory with the mappings before a change; may be repeated")
	cmd.Flags().StringVar(&f.where.FeedDir, "feed", "", "look up in this directory in MISP feed format instead of the mirror")
	cmd.Flags().IntVar(&f.rows, "rows", 20, "maximum rows of each table; 0 for all")
	outputFlag(cmd, &f.output, "table", "table", "json", "html")
	return cmd
}

func runBacktest(ctx context.Context, s cli.Streams, g globals, f backtestFlags, args []string) error {
	span, err := spanOf(f.since, f.until, time.Now())
	if err != nil {
		return err
	}
	c, err := g.configured(f.where)
	if err != nil {
		return err
	}
	files, err := alertFiles(args)
	if err != nil {
		return err
	}
	skipped := files.skipDays(span)
	var reasons reasonCounts
	now, err := judging(c, s, f.mappings, reasons.count)
	if err != nil {
		return err
	}
	defer now.app.Close()
	run := &backtest.Run{Pipeline: now.pipeline, Span: span}
	if len(f.against) > 0 {
		before, err := judging(c, s, f.against, nil)
		if err != nil {
			return err
		}
		defer before.app.Close()
		run.Before = before.pipeline
	}
	read := readBacktest(ctx, s, run, files)
	if read.err != nil {
		return read.err
	}
	r := read.result.Close(run.Before != nil)
	r.Partial, r.Files, r.Unread, r.Skipped, r.Links = read.partial, read.files, read.unread, skipped, files.links
	if !span.Since.IsZero() {
		r.Since = span.Since.UTC().Format(time.RFC3339)
	}
	if !span.Until.IsZero() {
		r.Until = span.Until.UTC().Format(time.RFC3339)
	}
	reasons.addTo(r.NotReported)
	if n := now.app.Engine.IgnoredValues(); n > 0 {
		r.NotReported[string(enrich.ReasonValue)] = int(min(n, 1<<53)) //nolint:gosec // bounded
	}
	switch f.output {
	case "json":
		err = cli.WriteJSON(s.Out, r)
	case "html":
		err = writeBacktestPage(s.Out, r, f.rows)
	default:
		err = writeBacktest(s.Out, r, f.rows)
	}
	if err == nil && (r.Partial || r.Unread > 0 || r.Unreadable > 0) {
		err = cli.ErrReported
	}
	return err
}

// judge is the chain of one set of mappings, up to its events.
type judge struct {
	app      *app.App
	pipeline *enrich.Pipeline
}

// judging builds the chain that the configuration asks for, but asks the mirror, or the feed directory, and no server. Mappings take
// the place of mappings.dirs, if there are any.
func judging(configured *config.Config, s cli.Streams, mappings []string, notReported func(enrich.Reason)) (judge, error) {
	c := *configured
	if c.FeedDir == "" {
		c.Lookup.Policy = config.PolicyMirror
	}
	if len(mappings) > 0 {
		c.Mappings.Dirs = nil
	}
	c.Sightings.Enabled = false // what is only tried was not seen
	a, err := app.Build(&c, app.Hooks{Mappings: mappings, NotReported: notReported})
	if a == nil {
		return judge{}, err
	}
	if e, ok := errors.AsType[*app.LookupError](err); ok { // other faults keep serve from working, not this
		a.Close()
		return judge{}, e.Err
	}
	if len(a.Faults) > 0 {
		cli.PrintFaults(s.Err, a.Faults)
		a.Close()
		return judge{}, cli.ErrReported
	}
	p := a.Chain.Pipeline
	p.Lookup = a.Lookup
	p.Unlimited = configured.Lookup.Policy == config.PolicyMirror // as with the policy that serve has
	return judge{a, &p}, nil
}

// reasonCounts counts by reason what is not reported.
type reasonCounts struct {
	mu sync.Mutex
	of map[enrich.Reason]int
}

func (c *reasonCounts) count(why enrich.Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[enrich.Reason]int{}
	}
	c.of[why]++
}

func (c *reasonCounts) addTo(counts map[string]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for why, n := range c.of {
		counts[string(why)] += n
	}
}

// spanOf reads --since and --until.
func spanOf(since, until string, now time.Time) (span backtest.Span, err error) {
	if span.Since, err = timeOf("--since", since, now, 0); err != nil {
		return span, err
	}
	if span.Until, err = timeOf("--until", until, now, 1); err != nil {
		return span, err
	}
	if !span.Since.IsZero() && !span.Until.IsZero() && !span.Since.Before(span.Until) {
		return span, cli.WrongUsef("--since %s is not before --until %s", since, until)
	}
	return span, nil
}

// timeOf reads a time. Of a day it is the beginning, or that of so many days later.
func timeOf(flag, text string, now time.Time, days int) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t.AddDate(0, 0, days), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	if age, err := engine.ParseAge(text); err == nil && age > 0 {
		return now.Add(-time.Duration(age)), nil
	}
	return time.Time{}, cli.WrongUsef("%s %q is neither a day like 2026-11-25, nor a time like 2026-11-25T10:00:00Z, nor how long ago, like 30d or 12h", flag, text)
}

// datedName is how analysisd names the files of a day: 2026/Nov/ossec-alerts-25.json.
var datedName = regexp.MustCompile(`(?:^|/)(\d{4}/[A-Z][a-z]{2})/ossec-(?:alerts|archive)-(\d{2})\.json(?:\.gz)?$`)

// skipDays leaves out the files of days that are out of a span, and returns how many. The day of a name is one in the time zone of
// the manager, so that a day more on each side is read.
func (l *alertFileList) skipDays(span backtest.Span) (skipped int) {
	all := len(l.names)
	l.names = slices.DeleteFunc(l.names, func(name string) bool {
		at := datedName.FindStringSubmatch(filepath.ToSlash(name))
		if at == nil {
			return false
		}
		day, err := time.Parse("2006/Jan/02", at[1]+"/"+at[2])
		return err == nil && (!span.Since.IsZero() && day.AddDate(0, 0, 2).Before(span.Since) || !span.Until.IsZero() && !day.AddDate(0, 0, -1).Before(span.Until))
	})
	return all - len(l.names)
}
