package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/engine/mappingtest"
	"custom-misp/misp"
)

func newExplain(s streams, g *globalFlags) *cobra.Command {
	var output string
	var mappings []string
	cmd := &cobra.Command{
		Use:   "explain [-m FILE|DIR]... ALERT|-",
		Short: "Show the way of an alert through the mappings",
		Long: `Show which mappings were considered for an alert and why the others were not, each condition with its value,
each candidate with its fate, and the question that MISP would be asked.`,
		Example: `  custom-misp explain alert.json
  custom-misp explain -m my-mapping.yaml --output json alert.json`,
		Args: exactlyOneAlert,
		RunE: func(_ *cobra.Command, args []string) error {
			settings, _, e, err := loadEngine(*g, nil, mappings, s)
			if err != nil {
				return err
			}
			return eachAlert(args[0], s.in, func(where string, a enrich.Alert, err error) error {
				if err != nil {
					fmt.Fprintf(s.err, "%s: %v\n", where, err)
					return errSilent
				}
				return explain(s.out, e, settings, a, output)
			})
		},
	}
	cmd.Flags().StringArrayVarP(&mappings, "mappings", "m", nil, "file or directory with further mappings; may be repeated")
	outputFlag(cmd, &output, "table", "table", "json")
	return cmd
}

func exactlyOneAlert(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return wrongUsef("name one alert file, or - for standard input")
	}
	return nil
}

// explanation is the JSON form: what the engine says, and the questions to MISP.
type explanation struct {
	AlertID string `json:"alert_id"`
	engine.Explanation
	Questions []json.RawMessage `json:"questions"`
}

func explain(w io.Writer, e *engine.Engine, s *settings, a enrich.Alert, output string) error {
	x := explanation{AlertID: a.Source.AlertID, Explanation: e.Explain(a.JSON)}
	unasked := engine.Limit(x.Observables, s.filter(), engine.MaxValues)
	questions, err := misp.Questions(x.Observables, s.filter())
	if err != nil {
		return err
	}
	x.Questions = append([]json.RawMessage{}, questions...)
	if output == "json" {
		return writeJSON(w, x)
	}
	style := mappingtest.Plain
	if isTerminal(w) && os.Getenv("NO_COLOR") == "" {
		style = mappingtest.Colour
	}
	fmt.Fprintf(w, "alert %s, rule %s: %s\n", cleanCell(a.Source.AlertID), cleanCell(a.Source.RuleID), cleanCell(a.Source.RuleDescription))
	mappingtest.WriteExplanation(w, x.Explanation, style)
	for _, q := range x.Questions {
		fmt.Fprintf(w, "\nMISP would be asked: POST /attributes/restSearch\n%s\n", q)
	}
	if unasked > 0 {
		fmt.Fprintf(w, "\nThe alert has more values than MISP is asked for: %d are left out.\n", unasked)
	}
	return nil
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) //nolint:gosec // a descriptor fits
}
