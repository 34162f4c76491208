package main

import (
	"fmt"
	"io"
	"strings"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"

	"github.com/spf13/cobra"
)

func newConfig(s cli.Streams, g *globals) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print the effective configuration, and check that it can be used",
		Long: `Print every key of the configuration with its value and the layer that it comes from. Secrets are masked. MISP servers that
files of sources declare follow as servers.NAME, with their place.

Layers, the later wins: default, file, environment, <options> and the other settings of the program's block in
ossec.conf, flags. All verbs have the configuration that a call by integratord has.

Everything that keeps a call by integratord from looking alerts up is reported as an error. The exit code is then 2.`,
		Example: `  custom-misp config
  custom-misp config --config ./custom-misp.yaml --output json`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			c, err := g.installed()
			if err != nil {
				return err
			}
			if err := printConfig(s.Out, c, output); err != nil {
				return err
			}
			return checkBuild(c)
		},
	}
	outputFlag(cmd, &output, "table", "table", "json")
	return cmd
}

func printConfig(out io.Writer, c *config.Config, output string) error {
	values := c.Values()
	if servers, err := app.Servers(c); err == nil { // else checkBuild says why
		for _, s := range servers {
			if s.Declared() {
				values = append(values, config.Value{Key: "servers." + s.Name, Value: s.URL, From: s.Place()})
			}
		}
	}
	if output == "json" {
		return cli.WriteJSON(out, values)
	}
	t := cli.NewTable(out, "KEY", "VALUE", "FROM")
	for _, v := range values {
		text := fmt.Sprint(v.Value)
		if list, ok := v.Value.([]string); ok {
			text = strings.Join(list, " ")
		}
		t.Row(v.Key, text, v.From)
	}
	return t.Flush()
}

// checkBuild returns everything that keeps a call or serve from using a configuration.
func checkBuild(c *config.Config) error {
	a, err := app.Build(c, app.Hooks{})
	if a != nil {
		a.Close()
	}
	return err
}
