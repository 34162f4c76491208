package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"custom-misp/engine"
	"custom-misp/engine/yamlfile"
)

func newLint(s streams, g *globalFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "lint [FILE|DIR...]",
		Short: "Check mapping files for everything that can be known without an alert",
		Long: `Check mapping files, all faults in one run, each with file, line, column and a remedy.

Without arguments the configured and built-in mappings are checked.`,
		Example: `  custom-misp lint
  custom-misp lint /var/ossec/etc/custom-misp/mappings my-mapping.yaml`,
		RunE: func(_ *cobra.Command, args []string) error {
			sources, err := authorSources(*g, args)
			if err != nil {
				return err
			}
			e, err := engine.Load(sources...)
			if faults, ok := errors.AsType[yamlfile.Faults](err); ok {
				n := printFaults(s.err, err)
				files := map[string]bool{}
				for _, f := range faults {
					files[f.File] = true
				}
				fmt.Fprintf(s.out, "%s in %s of %d\n", plural(n, "fault"), plural(len(files), "file"), len(sources))
				return errSilent
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(s.out, "%s with %s, no faults\n", plural(len(sources), "file"), plural(len(e.Mappings()), "mapping"))
			return nil
		},
	}
}

// authorSources returns the mapping files that a verb for authors works on: those that are named, or all that
// are configured.
func authorSources(g globalFlags, named []string) ([]engine.Source, error) {
	if len(named) == 0 {
		s, err := loadSettings(g, nil, nil)
		if err != nil {
			return nil, err
		}
		return mappingSources(s, nil)
	}
	var sources []engine.Source
	for _, name := range named {
		found, err := readMappings(name)
		if err != nil {
			return nil, wrongUse{err}
		}
		sources = append(sources, found...)
	}
	if len(sources) == 0 {
		return nil, wrongUsef("no mapping files (*.yaml) in %v", named)
	}
	return sources, nil
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
