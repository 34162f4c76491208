package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/engine/mappingtest"
	"custom-misp/misp/api"
)

func newExplain(s cli.Streams, g *globals) *cobra.Command {
	var output string
	var mappings []string
	cmd := &cobra.Command{
		Use:   "explain [-m FILE|DIR]... ALERT|-",
		Short: "Show why values of an alert are picked or not",
		Long: `Show which mappings were considered for an alert, and why the others were not. Show each condition with its value, each
candidate with the reason why it was dropped, if it was, and the question that MISP would be asked. Nothing is looked up.`,
		Example: `  custom-misp explain alert.json
  custom-misp explain -m my-mapping.yaml --output json alert.json`,
		Args: exactlyOneAlert,
		RunE: func(_ *cobra.Command, args []string) error {
			c := g.known(s.Err)
			e, err := loadEngine(c, mappings, s)
			if err != nil {
				return err
			}
			suppress, err := app.Suppression(c, e)
			if errors.Is(err, fs.ErrPermission) { // an author may not read them
				cli.PrintError(s.Err, "custom-misp: mutes are left out", err)
				c.MutesFile = ""
				suppress, err = app.Suppression(c, e)
			}
			if err != nil {
				return err
			}
			return eachAlert(args[0], s, func(where string, a enrich.Alert, err error) error {
				if err != nil {
					cli.PrintError(s.Err, where, err)
					return cli.ErrReported
				}
				return explain(s.Out, e, suppress, a, output)
			})
		},
	}
	cmd.Flags().StringArrayVarP(&mappings, "mappings", "m", nil, "file or directory with more mappings; may be repeated")
	outputFlag(cmd, &output, "table", "table", "json")
	return cmd
}

func exactlyOneAlert(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return cli.WrongUsef("name one alert file, or - for standard input")
	}
	return nil
}

// explanation is the JSON form: what the engine says, and the questions to MISP.
type explanation struct {
	AlertID string `json:"alert_id"`
	engine.Explanation
	Questions []json.RawMessage `json:"questions"`
	// NotReported says what raises no event whatever is known of it; absent if nothing.
	NotReported []unreported `json:"not_reported,omitempty"`
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

func explain(w io.Writer, e *engine.Engine, suppress *enrich.Suppression, a enrich.Alert, output string) error {
	x, filter := explanation{AlertID: a.Source.AlertID, Explanation: e.Explain(a.JSON)}, suppress.Filter
	unreportedOf(suppress, a, &x)
	unasked := engine.Limit(x.Observables, filter, engine.MaxValues)
	questions, err := api.Questions(x.Observables, filter)
	if err != nil {
		return err
	}
	x.Questions = append([]json.RawMessage{}, questions...)
	if output == "json" {
		return cli.WriteJSON(w, x)
	}
	style := mappingtest.Plain
	if cli.IsTerminal(w) && os.Getenv("NO_COLOR") == "" {
		style = mappingtest.Colour
	}
	fmt.Fprintf(w, "alert %s, rule %s: %s\n", cli.Clean(a.Source.AlertID), cli.Clean(a.Source.RuleID), cli.Clean(a.Source.RuleDescription))
	mappingtest.WriteExplanation(w, x.Explanation, style)
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
