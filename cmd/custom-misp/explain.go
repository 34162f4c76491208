package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

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
	cmd := &cobra.Command{
		Use:   "explain [-m FILE|DIR]... ALERT|-",
		Short: "Show why values of an alert are picked or not",
		Long: `Show which mappings were considered for an alert, and why the others were not. Show each condition with its value, each
candidate with the reason why it was dropped, if it was, and the question that MISP would be asked. Nothing is looked up.`,
		Example: `  custom-misp explain alert.json
  custom-misp explain -m my-mapping.yaml --output json alert.json`,
		Args: exactlyOneAlert,
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := g.installed()
			if err != nil {
				return err
			}
			e, err := loadEngine(c, mappings, s)
			if err != nil {
				return err
			}
			return eachAlert(args[0], s, func(where string, a enrich.Alert, err error) error {
				if err != nil {
					cli.PrintError(s.Err, where, err)
					return cli.ErrReported
				}
				return explain(s.Out, c, e, a, output)
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
	// Unasked are picked values that MISP is not asked for live.
	Unasked   []unaskedValue    `json:"unasked,omitempty"`
	Questions []json.RawMessage `json:"questions"`
}

// unaskedValue is a picked value that MISP is not asked for live.
type unaskedValue struct {
	Type  engine.Type `json:"type"`
	Value string      `json:"value"`
	Asked bool        `json:"asked"` // false
}

func explain(w io.Writer, c *config.Config, e *engine.Engine, a enrich.Alert, output string) error {
	x := explanation{AlertID: a.Source.AlertID, Explanation: e.Explain(a.JSON)}
	filter := c.Lookup.Filter
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
	if output == "json" {
		return cli.WriteJSON(w, x)
	}
	style := mappingtest.Plain
	if cli.IsTerminal(w) && os.Getenv("NO_COLOR") == "" {
		style = mappingtest.Colour
	}
	fmt.Fprintf(w, "alert %s, rule %s: %s\n", cli.Clean(a.Source.AlertID), cli.Clean(a.Source.RuleID), cli.Clean(a.Source.RuleDescription))
	mappingtest.WriteExplanation(w, x.Explanation, style)
	for _, o := range x.Unasked {
		fmt.Fprintf(w, "\nMISP is not asked for %s %s live: no mapping knows it, see fallback.ask_live\n", o.Type, cli.Clean(o.Value))
	}
	for _, q := range x.Questions {
		fmt.Fprintf(w, "\nMISP would be asked: POST /attributes/restSearch\n%s\n", cli.EscapeJSON(q))
	}
	if unasked > 0 {
		fmt.Fprintf(w, "\nThe alert has more values than MISP is asked for: %d are left out.\n", unasked)
	}
	return nil
}
