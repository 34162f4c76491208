package main

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/misp/source"
)

// A sourceLine is a declared source, or a preset, in JSON.
type sourceLine struct {
	Name        string        `json:"name"`
	Description string        `json:"description,omitempty"`
	Preset      string        `json:"preset,omitempty"`
	Format      source.Format `json:"format,omitempty"`
	Place       string        `json:"place,omitempty"` // without secrets
	Refresh     string        `json:"refresh,omitempty"`
	Unverified  bool          `json:"unverified"`
	Secrets     []string      `json:"secrets,omitempty"` // that the address needs
	File        string        `json:"file,omitempty"`
	Line        int           `json:"line,omitempty"`
}

func newSourceList(s cli.Streams, g *globals) *cobra.Command {
	var output string
	var presets bool
	cmd := &cobra.Command{
		Use:   "list [--presets]",
		Short: "List the declared sources, or the built-in declarations",
		Long: `List the declared sources, or with --presets the built-in declarations that they may name. One that is unverified was
written from the description of its form, and never compared with a file of the provider: look at a preview first.`,
		Example: `  custom-misp source list
  custom-misp source list --presets`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			sources := source.Presets()
			var servers []app.Server
			if !presets {
				c, err := g.installed()
				if err != nil {
					return err
				}
				declared, faults, err := app.Sources(c)
				if err != nil {
					return err
				}
				if faults = append(faults, app.SourceWarnings(c, declared)...); len(faults) > 0 {
					cli.PrintFaults(s.Err, faults)
				}
				sources = declared
				if servers, err = app.Servers(c); err != nil {
					return err
				}
			}
			return writeSources(s, output, sources, servers)
		},
	}
	cmd.Flags().BoolVar(&presets, "presets", false, "list the built-in declarations")
	outputFlag(cmd, &output, "table", "table", "json")
	return cmd
}

func writeSources(s cli.Streams, output string, sources []*source.Source, servers []app.Server) error {
	list := make([]sourceLine, 0, len(sources))
	for _, d := range servers {
		if d.Declared() {
			list = append(list, sourceLine{Name: d.Name, Format: "MISP server", Place: d.URL, Refresh: d.Refresh.String()})
		}
	}
	for _, d := range sources {
		l := sourceLine{
			Name: d.Name, Description: d.Description, Preset: d.Preset, Format: d.Format, Place: cmp.Or(d.Path, source.MaskURL(d.URL)),
			Unverified: d.Unverified, File: d.File, Line: d.Line,
		}
		if d.Refresh > 0 {
			l.Refresh = d.Refresh.String()
		}
		for _, k := range d.Secrets {
			l.Secrets = append(l.Secrets, k.Name)
		}
		list = append(list, l)
	}
	if output == "json" {
		return cli.WriteJSON(s.Out, list)
	}
	table := cli.NewTable(s.Out, "NAME", "PRESET", "FORMAT", "REFRESH", "UNVERIFIED", "PLACE", "DESCRIPTION")
	for _, l := range list {
		table.Row(l.Name, l.Preset, cmp.Or(string(l.Format), "recognised"), l.Refresh, map[bool]string{true: "unverified"}[l.Unverified], l.Place, l.Description)
	}
	return table.Flush()
}

func newSourceAccept(s cli.Streams, g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "accept NAME",
		Short: "Take a copy of a source that is much smaller than the one before",
		Long: `Fetch a declared source and take the copy, also if it has far fewer indicators than the one before, which a sync refuses
once. A copy that cannot be read, or yields nothing, is refused even so. Started as root, it becomes Wazuh's user.`,
		Example: `  sudo custom-misp source accept urlhaus`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return cli.WrongUsef("name one source")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return acceptSource(cmd.Context(), *g, s, args[0]) },
	}
}

func acceptSource(ctx context.Context, g globals, st cli.Streams, name string) error {
	c, err := g.working(st.Err)
	if err != nil {
		return err
	}
	syncs, closeAll, err := app.Syncs(c, cli.NewLog(st.Err, slog.LevelWarn, false))
	if syncs == nil && err != nil {
		return err
	}
	if closeAll != nil {
		defer closeAll()
	}
	var known []string
	for _, y := range syncs {
		known = append(known, y.Name())
	}
	i := slices.Index(known, name)
	if i < 0 {
		return cli.WrongUsef("%q is not a source of the mirror; there are: %s", name, strings.Join(known, ", "))
	}
	state, err := syncs[i].Accept(ctx)
	if err != nil {
		return err
	}
	table := cli.NewTable(st.Out, "ORIGIN", "ATTRIBUTES", "NOTE")
	table.Row(state.Origin, state.Attributes, cmp.Or(state.Failure, state.Partial))
	return table.Flush()
}
