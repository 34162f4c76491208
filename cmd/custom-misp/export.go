package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/export"
)

func newExport(s cli.Streams, g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write the mirror as lists for Wazuh, Suricata and other programs",
		Long: `Write what the mirror knows as lists for other programs: each value once, in normal form, sorted, filtered as look-ups
are (lookup.* in the configuration). MISP is not asked; custom-misp sync and serve keep the mirror up to date.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, form := range export.Forms() {
		cmd.AddCommand(newExportForm(s, g, form))
	}
	return cmd
}

func newExportForm(s cli.Streams, g *globals, form export.Form) *cobra.Command {
	var dir string
	var all bool
	use := form.Name + " --dir DIR"
	if form.ToStdout {
		use = form.Name + " [--dir DIR]"
	}
	cmd := &cobra.Command{
		Use:     use,
		Short:   form.Short,
		Long:    form.Long,
		Example: "  custom-misp export " + form.Name + " --dir " + map[bool]string{true: "/var/ossec/etc", false: "/var/lib/misp-" + form.Name}[form.ForWazuh],
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir == "" && !form.ToStdout {
				return cli.WrongUsef("export %s writes several files; say where with --dir DIR", form.Name)
			}
			return exportMirror(cmd.Context(), *g, s, form, dir, all)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "directory to write to; it is created if it does not exist")
	cmd.Flags().BoolVarP(&all, "all", "a", false, "ignore the filters: include attributes that are not flagged to_ids, unpublished, on warninglists, old, or of any tag")
	return cmd
}

func exportMirror(ctx context.Context, g globals, st cli.Streams, form export.Form, dir string, all bool) error {
	if form.ForWazuh {
		if err := g.becomeWazuh(); err != nil {
			return err
		}
	}
	c, err := g.installed()
	if err != nil {
		return err
	}
	m, err := app.Mirror(c)
	if err != nil {
		return err
	}
	defer m.Close()
	if err := m.Usable(); err != nil {
		return err
	}
	for _, state := range m.States() {
		if state.SyncedAt.IsZero() {
			fmt.Fprintf(st.Err, "custom-misp: the mirror of %s was never synced, and is not in the export; custom-misp sync makes it\n", state.Origin)
		}
	}
	filter := c.Lookup.Filter
	if all {
		filter = *unfiltered()
	}
	left, err := export.Write(ctx, m, form, filter, c.Lookup.WithholdOutside(), dir, st.Out)
	for _, why := range slices.Sorted(maps.Keys(left)) {
		fmt.Fprintf(st.Err, "custom-misp: %s left out: %s\n", cli.Plural(left[why], "value"), why)
	}
	return err
}
