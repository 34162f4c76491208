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

	"custom-misp/misp/mirror"
)

func newSync(s streams, g *globalFlags) *cobra.Command {
	var full bool
	cmd := &cobra.Command{
		Use:   "sync [flags] [ORIGIN...]",
		Short: "Bring the mirror up to date, once",
		Long: `Bring the copy of MISP, of feeds and of lists up to date: all of them, or those that are named. What serve does by
itself, for sites that run calls by integratord against a mirror, from a timer. A resident process takes over what this
writes. As root it becomes the user of Wazuh.`,
		Example: `  sudo custom-misp sync
  sudo custom-misp sync --full misp`,
		RunE: func(cmd *cobra.Command, args []string) error { return syncMirror(cmd.Context(), *g, s, args, full) },
	}
	cmd.Flags().BoolVar(&full, "full", false, "walk over everything, not only over what is new")
	return cmd
}

func syncMirror(ctx context.Context, g globalFlags, st streams, names []string, full bool) error {
	if err := becomeWazuh(findHome(g.home)); err != nil {
		return err
	}
	i := readInstallation(g)
	if i.settingsErr != nil {
		return i.settingsErr
	}
	log := slog.New(newWazuhHandler(st.err, slog.LevelWarn))
	origins, err := newOrigins(i.s, log)
	if err != nil {
		return err
	}
	known, _ := originNames(i.s) // newOrigins has checked them
	for _, name := range names {
		if !slices.Contains(known, name) {
			return wrongUsef("%q is not an origin of the mirror; there are: %s", name, strings.Join(known, ", "))
		}
	}
	y := newSyncer(i.s, log)
	table := tabwriter.NewWriter(st.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "ORIGIN\tATTRIBUTES\tEVENTS\tNETWORKS\tMIB\tTOOK\tNOTE")
	failed := false
	for _, o := range origins {
		if len(names) > 0 && !slices.Contains(names, o.Name()) {
			continue
		}
		began := time.Now()
		state, err := y.Sync(ctx, o, full)
		if err != nil {
			failed = true
			fmt.Fprintln(st.err, "custom-misp:", err)
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
		return errSilent
	}
	return nil
}

func writeSynced(table *tabwriter.Writer, s mirror.State, took time.Duration) {
	fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%.1f\t%s\t%s\n", s.Origin, s.Attributes, s.Events, s.Networks, float64(s.Bytes)/(1<<20),
		took.Round(time.Millisecond), cleanCell(s.Failure))
}
