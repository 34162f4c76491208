package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/engine/mappingtest"
	"custom-misp/misp/source"
)

func newSchema(s cli.Streams) *cobra.Command {
	var output, kind string
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema or the reference of mapping, test and source files",
		Long: `Print the JSON Schema (2020-12) of mapping and test files, or with --kind sources of files of sources, or their reference in
Markdown. With the schema, editors check and complete a file while you type. The first line of the file names the
schema:

  # yaml-language-server: $schema=mapping.schema.json`,
		Example: `  custom-misp schema > mapping.schema.json
  custom-misp schema --kind sources > source.schema.json
  custom-misp schema --output markdown`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			schema, reference := mappingtest.Schema, mappingtest.Reference
			switch kind {
			case "mappings":
			case "sources":
				schema, reference = source.Schema, source.Reference
			default:
				return cli.WrongUsef("--kind %q is unknown; use mappings or sources", kind)
			}
			if output == "markdown" {
				_, err := fmt.Fprint(s.Out, reference())
				return err
			}
			return cli.WriteJSON(s.Out, schema())
		},
	}
	cmd.Flags().StringVar(&kind, "kind", "mappings", "kind of files: mappings or sources")
	outputFlag(cmd, &output, "json", "json", "markdown")
	return cmd
}
