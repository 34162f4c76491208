package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/engine/mappingtest"
	"custom-misp/misp/api"
)

func newExplain(s cli.Streams, g *globals) *cobra.Command {
	var output string
	var mappings []string
	var failures bool
	cmd := &cobra.Command{
		Use:   "explain [-m FILE|DIR]... ALERT|DIR...|-",
		Short: "Show why values of an alert are picked or not",
		Long: `Show which mappings were considered for an alert, and why the others were not. Show each condition with its value, each
candidate with the reason why it was dropped, if it was, and the question that MISP would be asked. Nothing is looked up.
A path that leads to nothing is shown with the one in the alert that is probably meant.

A file may hold many alerts. --failures then shows only mappings that failed, of the alerts on which they did: their match cannot
be evaluated, or they match and pick nothing, although they left no value out on purpose. The exit code is 1 if there is one.`,
		Example: `  custom-misp explain alert.json
  custom-misp explain -m my-mapping.yaml --output json alert.json
  custom-misp explain -m my-mapping.yaml --failures /var/ossec/logs/alerts/alerts.json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cli.WrongUsef("name alert files or directories, or - for standard input")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			c := g.known(s.Err)
			e, err := loadEngine(c, mappings, s)
			if err != nil {
				return err
			}
			if _, err := app.Mutes(c); errors.Is(err, fs.ErrPermission) { // an author may not read them
				cli.PrintError(s.Err, "custom-misp: mutes are left out", err)
				c.MutesFile = ""
			}
			if _, err := app.Servers(c); errors.Is(err, fs.ErrPermission) {
				cli.PrintError(s.Err, "custom-misp: declared servers are left out", err)
				c.Sources.Dirs = nil
			}
			suppress, err := app.Suppression(c, e)
			if err != nil {
				return err
			}
			return explainAll(s, args, &explainer{w: s.Out, c: c, engine: e, suppress: suppress, output: output, failures: failures})
		},
	}
	cmd.Flags().StringArrayVarP(&mappings, "mappings", "m", nil, "file or directory with more mappings; may be repeated")
	cmd.Flags().BoolVar(&failures, "failures", false, "show only mappings that failed, and the alerts on which they did")
	outputFlag(cmd, &output, "table", "table", "json")
	return cmd
}

// explainAll explains the alerts of all files.
func explainAll(s cli.Streams, args []string, x *explainer) error {
	names, err := explainedFiles(args)
	if err != nil {
		return err
	}
	unreadable := false
	for _, name := range names {
		err := eachAlert(name, s, func(where string, a enrich.Alert, err error) error {
			if err == nil {
				return x.explain(where, a)
			}
			cli.PrintError(s.Err, where, err)
			unreadable = true
			if x.failures { // of many alerts
				return nil
			}
			return cli.ErrReported
		})
		if err != nil {
			return err
		}
	}
	if x.failures && x.output != "json" {
		fmt.Fprintf(s.Out, "%s, %d with a mapping that failed\n", cli.Plural(x.alerts, "alert"), x.failed)
	}
	if unreadable || x.failures && x.failed > 0 {
		return cli.ErrReported
	}
	return nil
}

// explainedFiles returns the files that args name; those in directories are looked for.
func explainedFiles(args []string) (names []string, err error) {
	for _, arg := range args {
		if st, err := os.Stat(arg); err != nil || !st.IsDir() {
			names = append(names, arg) // an error comes with its place
			continue
		}
		files, err := alertFiles([]string{arg})
		if err != nil {
			return nil, err
		}
		for _, u := range files.unread {
			return nil, fmt.Errorf("%s: %w", u.name, u.err)
		}
		names = append(names, files.names...)
	}
	return names, nil
}

// An explainer explains alerts.
type explainer struct {
	w              io.Writer
	c              *config.Config
	engine         *engine.Engine
	suppress       *enrich.Suppression
	output         string
	failures       bool // only what failed is shown
	alerts, failed int
}

// explanation is the JSON form: what the engine says, and the questions to MISP.
type explanation struct {
	AlertID string `json:"alert_id"`
	engine.Explanation
	// Unasked are picked values that MISP is not asked for live.
	Unasked   []unaskedValue    `json:"unasked,omitempty"`
	Questions []json.RawMessage `json:"questions"`
	// NotReported says what raises no event whatever is known of it; absent if nothing.
	NotReported []unreported `json:"not_reported,omitempty"`
}

// unaskedValue is a picked value that MISP is not asked for live.
type unaskedValue struct {
	Type  engine.Type `json:"type"`
	Value string      `json:"value"`
	Asked bool        `json:"asked"` // false
}

// unreported is an alert or a value that raises no event, and why.
type unreported struct {
	Of     string        `json:"of"` // "alert", or the value
	Reason enrich.Reason `json:"reason"`
	By     string        `json:"by"`
}

// unreportedOf returns what raises no event, as far as that is known without a look-up.
func unreportedOf(s *enrich.Suppression, a enrich.Alert, x *explanation) {
	note := func(of string, v enrich.Verdict) {
		if !v.Reported() {
			x.NotReported = append(x.NotReported, unreported{of, v.Reason, v.By})
		}
	}
	v, err := s.OfAlert(a.JSON)
	if err != nil {
		v.By = err.Error()
	}
	note("alert", v)
	for _, m := range x.Mappings {
		for _, p := range m.Picks {
			for _, c := range p.Candidates {
				if c.Value != "" && c.Dropped != "" {
					note(c.Value, s.OfValue(engine.Observable{Type: c.Type, Value: c.Value}))
				}
			}
		}
	}
	for _, o := range x.Observables {
		if mute, muted := s.Mutes.OfValue(o, time.Now()); muted {
			note(o.Value, enrich.Verdict{Reason: enrich.ReasonMute, By: mute.String()})
		}
	}
}

// explain explains one alert of a file.
func (e *explainer) explain(where string, a enrich.Alert) error {
	e.alerts++
	x := explanation{AlertID: a.Source.AlertID, Explanation: e.engine.Explain(a.JSON)}
	if e.failures {
		x.Mappings = slices.DeleteFunc(x.Mappings, func(m engine.MappingTrace) bool { return !m.Failed() })
		if len(x.Mappings) == 0 {
			return nil
		}
		e.failed++
	}
	mappingtest.AddNeighbours(&x.Explanation, a.JSON)
	if e.failures && e.output != "json" {
		return e.writeFailures(where, a, x)
	}
	return e.write(a, x)
}

// style is that of what is written.
func (e *explainer) style() mappingtest.Style {
	if cli.IsTerminal(e.w) && os.Getenv("NO_COLOR") == "" {
		return mappingtest.Colour
	}
	return mappingtest.Plain
}

// writeFailures writes the mappings that failed on an alert, and where it is.
func (e *explainer) writeFailures(where string, a enrich.Alert, x explanation) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: alert %s, rule %s: %s\n", cli.Clean(where), cli.Clean(a.Source.AlertID), cli.Clean(a.Source.RuleID), cli.Clean(a.Source.RuleDescription))
	for _, m := range x.Mappings {
		mappingtest.WriteMapping(&b, m, e.style())
	}
	b.WriteByte('\n')
	_, err := io.WriteString(e.w, b.String())
	return err
}

// write writes all of an explanation.
func (e *explainer) write(a enrich.Alert, x explanation) error {
	w, c, filter := e.w, e.c, e.suppress.Filter
	unreportedOf(e.suppress, a, &x)
	unasked := engine.Limit(x.Observables, filter, engine.MaxValues)
	var asked []engine.Observable
	for _, o := range x.Observables {
		if c.AsksLive(&o) {
			asked = append(asked, o)
		} else {
			x.Unasked = append(x.Unasked, unaskedValue{Type: o.Type, Value: o.Value})
		}
	}
	questions, err := api.Questions(asked, filter)
	if err != nil {
		return err
	}
	x.Questions = append([]json.RawMessage{}, questions...)
	if e.output == "json" {
		return cli.WriteJSON(w, x)
	}
	fmt.Fprintf(w, "alert %s, rule %s: %s\n", cli.Clean(a.Source.AlertID), cli.Clean(a.Source.RuleID), cli.Clean(a.Source.RuleDescription))
	mappingtest.WriteExplanation(w, x.Explanation, e.style())
	for _, o := range x.Unasked {
		fmt.Fprintf(w, "\nMISP is not asked for %s %s live: no mapping knows it, see fallback.ask_live\n", o.Type, cli.Clean(o.Value))
	}
	for i, u := range x.NotReported {
		if i == 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s: %s\n", cli.Clean(u.Of), cli.Clean(enrich.Verdict{Reason: u.Reason, By: u.By}.String()))
	}
	for _, q := range x.Questions {
		fmt.Fprintf(w, "\nMISP would be asked: POST /attributes/restSearch\n%s\n", cli.EscapeJSON(q))
	}
	if unasked > 0 {
		fmt.Fprintf(w, "\nThe alert has more values than MISP is asked for: %d are left out.\n", unasked)
	}
	return nil
}
