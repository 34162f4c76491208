package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func newConfig(s streams, g *globalFlags) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print the effective configuration and where each value comes from",
		Long: `Print every key of the configuration with its value and the layer that it comes from. Secrets are masked.

Layers, the later wins: default, file, environment, <options> and the other settings in ossec.conf (these two
only when integratord calls), flags.`,
		Example: `  custom-misp config
  custom-misp config --config ./custom-misp.yaml --output json`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			settings, err := loadSettings(*g, nil, nil)
			if err != nil {
				return err
			}
			return settings.print(s, output)
		},
	}
	outputFlag(cmd, &output, "table", "table", "json")
	return cmd
}

func (s *settings) print(st streams, output string) error {
	type line struct {
		Key    string `json:"key"`
		Value  any    `json:"value"`
		Origin string `json:"origin"`
	}
	lines := []line{{"home", s.home, ""}}
	for _, o := range options {
		v := s.k.Get(o.key)
		switch {
		case o.secret && v != "":
			v = "********"
		case o.kind == kindDuration:
			v = s.duration(o.key).String()
		case o.kind == kindPath:
			v = s.path(o.key)
		case o.kind == kindPaths:
			v = s.paths(o.key)
		}
		lines = append(lines, line{o.key, v, s.origin[o.key]})
	}
	if output == "json" {
		enc := json.NewEncoder(st.out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(lines)
	}
	w := tabwriter.NewWriter(st.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "KEY\tVALUE\tFROM")
	for _, l := range lines {
		text := fmt.Sprint(l.Value)
		if list, ok := l.Value.([]string); ok {
			text = strings.Join(list, " ")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", l.Key, text, l.Origin)
	}
	return w.Flush()
}
