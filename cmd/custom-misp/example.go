package main

import (
	"fmt"
	"io/fs"
	"path"

	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/engine/yamlfile"
	"custom-misp/examples"
)

func newExample(s cli.Streams) *cobra.Command {
	return &cobra.Command{
		Use:   "example [NAME]",
		Short: "Print an example file: configuration, rules, systemd unit, monitoring",
		Long: `Print a file that an installation needs, as this version of the program has it: the configuration, the block for
ossec.conf, rules, the systemd unit, monitoring. Without a name, list them.`,
		Example: `  custom-misp example
  custom-misp example misp_rules.xml | install -o wazuh -g wazuh -m 0660 /dev/stdin /var/ossec/etc/rules/misp_rules.xml`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return exampleNames(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			names := exampleNames()
			if len(args) == 0 {
				for _, name := range names {
					if _, err := fmt.Fprintln(s.Out, name); err != nil {
						return err
					}
				}
				return nil
			}
			name, err := exampleFile(args[0])
			if err != nil {
				return err
			}
			data, err := fs.ReadFile(examples.Files, name)
			if err == nil {
				_, err = s.Out.Write(data)
			}
			return err
		},
	}
}

// exampleFile returns the path of an example, named by it or by its last element.
func exampleFile(name string) (string, error) {
	var found string
	err := fs.WalkDir(examples.Files, ".", func(file string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && (file == name || path.Base(file) == name) {
			found = file
		}
		return err
	})
	if err != nil || found != "" {
		return found, err
	}
	if near := yamlfile.Nearest(name, exampleNames()); near != "" {
		return "", cli.WrongUsef("there is no example %q; did you mean %s?", name, near)
	}
	return "", cli.WrongUsef("there is no example %q; custom-misp example lists them", name)
}

// exampleNames returns the names of all examples.
func exampleNames() []string {
	var names []string
	_ = fs.WalkDir(examples.Files, ".", func(file string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, path.Base(file))
		}
		return err
	})
	return names
}
