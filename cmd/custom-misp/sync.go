package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/misp/mirror"
)

func newSync(s cli.Streams, g *globals) *cobra.Command {
	var full bool
	cmd := &cobra.Command{
		Use:   "sync [flags] [ORIGIN...]",
		Short: "Bring the mirror up to date, once",
		Long: `Bring the mirror of MISP, of feeds and of lists up to date: all of them, or those that are named. What serve does by
itself, for sites that run calls by integratord against a mirror, from a timer. A running serve takes in what this writes. As root it becomes the user of Wazuh.`,
		Example: `  sudo custom-misp sync
  sudo custom-misp sync --full misp`,
		RunE: func(cmd *cobra.Command, args []string) error { return syncMirror(cmd.Context(), *g, s, args, full) },
	}
	cmd.Flags().BoolVar(&full, "full", false, "walk over everything, not only over what is new")
	return cmd
}

func syncMirror(ctx context.Context, g globals, st cli.Streams, names []string, full bool) error {
	if err := g.becomeWazuh(); err != nil {
		return err
	}
	c, err := g.installed()
	if err != nil {
		return err
	}
	syncs, closeAll, err := app.Syncs(c, cli.NewLog(st.Err, slog.LevelWarn, false))
	if err != nil {
		return err
	}
	defer closeAll()
	var known []string
	for _, s := range syncs {
		known = append(known, s.Name())
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return cli.WrongUsef("%q is not an origin of the mirror; there are: %s", name, strings.Join(known, ", "))
		}
	}
	table := tabwriter.NewWriter(st.Out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "ORIGIN\tATTRIBUTES\tEVENTS\tNETWORKS\tMIB\tTOOK\tNOTE")
	failed := false
	for _, o := range syncs {
		if len(names) > 0 && !slices.Contains(names, o.Name()) {
			continue
		}
		began := time.Now()
		state, err := o.Run(ctx, full)
		if err != nil {
			failed = true
			cli.PrintError(st.Err, "custom-misp", err)
			if ctx.Err() != nil {
				break
			}
			continue
		}
		writeSynced(table, state, time.Since(began))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if failed {
		return cli.ErrReported
	}
	return nil
}

func writeSynced(table *tabwriter.Writer, s mirror.State, took time.Duration) {
	fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%.1f\t%s\t%s\n", s.Origin, s.Attributes, s.Events, s.Networks, float64(s.Bytes)/(1<<20),
		took.Round(time.Millisecond), cli.Clean(s.Failure))
}
