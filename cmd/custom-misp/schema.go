package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/engine/mappingtest"
)

func newSchema(s cli.Streams) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema or the reference of mapping and test files",
		Long: `Print the JSON Schema (2020-12) of mapping and test files, or their reference in Markdown. With the schema, editors
check and complete a file while you type. The first line of the file names the schema:

  # yaml-language-server: $schema=mapping.schema.json`,
		Example: `  custom-misp schema > mapping.schema.json
  custom-misp schema --output markdown`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			if output == "markdown" {
				_, err := fmt.Fprint(s.Out, mappingtest.Reference())
				return err
			}
			return cli.WriteJSON(s.Out, mappingtest.Schema())
		},
	}
	outputFlag(cmd, &output, "json", "json", "markdown")
	return cmd
}
