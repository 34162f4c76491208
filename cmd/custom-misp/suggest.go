package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/engine/mappingtest"
)

// maxSuggested is how many alerts suggest looks at.
const maxSuggested = 2_000

// errEnough ends the reading of alerts.
var errEnough = errors.New("enough")

func newSuggest(s cli.Streams, g *globals) *cobra.Command {
	var mappings []string
	cmd := &cobra.Command{
		Use:   "suggest [-m FILE|DIR]... FILE|DIR...|-",
		Short: "Write a mapping with tests for alerts",
		Long: `Write a mapping file for the values of alerts that look like indicators and that no mapping picks: a mapping for each product,
by the groups and decoders of the alerts. The name of a field decides its type where the form of the value does not. The file says
what is left out, since a mapping picks it already or its name says that it is no indicator, and contains tests; lint and test
pass. Check every line before you use it. Alerts are read as coverage reads them.`,
		Example: `  custom-misp suggest alert.json > acme.yaml
  custom-misp lint acme.yaml && custom-misp test acme.yaml`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cli.WrongUsef("no alerts named; name files or directories, or - for standard input")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			c := g.known(s.Err)
			sources, err := app.Mappings(c, mappings...)
			if err != nil {
				return err
			}
			e, err := loadEngine(c, mappings, s)
			if err != nil {
				return err
			}
			files, err := alertFiles(args)
			if err != nil {
				return err
			}
			var alerts [][]byte
			failed := false
			for _, name := range files.names {
				err := eachAlert(name, s, func(where string, a enrich.Alert, err error) error {
					switch {
					case err != nil:
						failed = true
						cli.PrintError(s.Err, where, err)
					case len(alerts) == maxSuggested:
						return errEnough
					default:
						alerts = append(alerts, slices.Clone(a.JSON))
					}
					return nil
				})
				if errors.Is(err, errEnough) {
					fmt.Fprintf(s.Err, "custom-misp: only the first %d alerts are looked at\n", maxSuggested)
					break
				}
			}
			if failed {
				return cli.ErrReported
			}
			file, err := mappingtest.Suggest(e, func(file []byte) (*engine.Engine, error) {
				return app.Compile(append(slices.Clip(sources), engine.Source{Name: "suggestion", Data: file}))
			}, alerts...)
			if err != nil {
				cli.PrintError(s.Err, strings.Join(args, ", "), err)
				return cli.ErrReported
			}
			_, err = s.Out.Write(file)
			return err
		},
	}
	cmd.Flags().StringArrayVarP(&mappings, "mappings", "m", nil, "file or directory with more mappings; may be repeated")
	return cmd
}
