package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/misp/mirror"
)

func newSync(s cli.Streams, g *globals) *cobra.Command {
	var full bool
	cmd := &cobra.Command{
		Use:   "sync [flags] [SOURCE...]",
		Short: "Bring the mirror up to date, once",
		Long: `Bring the mirror up to date: all sources, or the named ones. The sources are misp, the names in mirror.feeds and
mirror.lists, and the declared sources. Under the policy live, only these are mirrored.

serve does this by itself. Run sync from a timer if calls by integratord use a mirror and serve does not run. A running
serve uses what sync writes. Started as root, it becomes Wazuh's user.`,
		Example: `  sudo custom-misp sync
  sudo custom-misp sync --full misp`,
		RunE: func(cmd *cobra.Command, args []string) error { return syncMirror(cmd.Context(), *g, s, args, full) },
	}
	cmd.Flags().BoolVar(&full, "full", false, "read everything again, not only what is new")
	return cmd
}

func syncMirror(ctx context.Context, g globals, st cli.Streams, names []string, full bool) error {
	c, err := g.working(st.Err)
	if err != nil {
		return err
	}
	syncs, closeAll, err := app.Syncs(c, cli.NewLog(st.Err, slog.LevelWarn, false))
	if syncs == nil && err != nil {
		return err
	}
	lacking := err // what a source needs that it does not have
	if lacking != nil {
		cli.PrintError(st.Err, "custom-misp", lacking)
	}
	if closeAll != nil {
		defer closeAll()
	}
	var known []string
	for _, s := range syncs {
		known = append(known, s.Name())
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return cli.WrongUsef("%q is not a source of the mirror; there are: %s", name, strings.Join(known, ", "))
		}
	}
	table := cli.NewTable(st.Out, "ORIGIN", "ATTRIBUTES", "EVENTS", "NETWORKS", "MIB", "TOOK", "NOTE")
	syncs = slices.DeleteFunc(syncs, func(o app.Sync) bool { return len(names) > 0 && !slices.Contains(names, o.Name()) })
	failed := lacking != nil
	for _, r := range syncAll(ctx, syncs, full) {
		if r.err != nil {
			failed = true
			cli.PrintError(st.Err, "custom-misp", r.err)
			if ctx.Err() != nil {
				break
			}
			continue
		}
		table.Row(r.state.Origin, r.state.Attributes, r.state.Events, r.state.Networks, fmt.Sprintf("%.1f", float64(r.state.Bytes)/(1<<20)),
			r.took.Round(time.Millisecond), cmp.Or(r.state.Failure, r.state.Partial))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if failed {
		return cli.ErrReported
	}
	return nil
}

// syncParallel is how many sources are synced at the same time: a slow one must not keep the others waiting.
const syncParallel = 4

// synced is what came of the sync of one source.
type synced struct {
	state mirror.State
	took  time.Duration
	err   error
}

// syncAll syncs sources, several at a time, and returns what came of each, in their order.
func syncAll(ctx context.Context, syncs []app.Sync, full bool) []synced {
	results := make([]synced, len(syncs))
	places := make(chan struct{}, syncParallel)
	var running sync.WaitGroup
	for i, o := range syncs {
		places <- struct{}{}
		running.Go(func() {
			defer func() { <-places }()
			began := time.Now()
			state, err := o.Run(ctx, full)
			results[i] = synced{state, time.Since(began), err}
		})
	}
	running.Wait()
	return results
}
