package main

import (
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/engine"
	"custom-misp/engine/enrich"
	"custom-misp/engine/mappingtest"
)

func newSuggest(s cli.Streams, g *globals) *cobra.Command {
	var mappings []string
	cmd := &cobra.Command{
		Use:   "suggest [-m FILE|DIR]... ALERT|-",
		Short: "Write a mapping with tests for an alert",
		Long: `Write a mapping file for the values of an alert that look like indicators and that no mapping picks. The file contains
tests; lint and test pass. Check every line before you use it.`,
		Example: `  custom-misp suggest alert.json > acme.yaml
  custom-misp lint acme.yaml && custom-misp test acme.yaml`,
		Args: exactlyOneAlert,
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
			found := false
			return eachAlert(args[0], s, func(where string, a enrich.Alert, err error) error {
				if err == nil && found {
					err = errors.New("one alert at a time; the first was taken")
				}
				found = true
				var file []byte
				if err == nil {
					file, err = mappingtest.Suggest(e, a.JSON, func(file []byte) (*engine.Engine, error) {
						return app.Compile(append(slices.Clip(sources), engine.Source{Name: "suggestion", Data: file}))
					})
				}
				if err != nil {
					cli.PrintError(s.Err, where, err)
					return cli.ErrReported
				}
				_, err = s.Out.Write(file)
				return err
			})
		},
	}
	cmd.Flags().StringArrayVarP(&mappings, "mappings", "m", nil, "file or directory with more mappings; may be repeated")
	return cmd
}
