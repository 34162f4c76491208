package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"custom-misp/cmd/custom-misp/internal/app"
	"custom-misp/cmd/custom-misp/internal/cli"
	"custom-misp/cmd/custom-misp/internal/config"
	"custom-misp/cmd/custom-misp/internal/serve"
	"custom-misp/engine/enrich"
	"custom-misp/engine/enrich/spool"
)

func newSpoolVerb(s cli.Streams, g *globals) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "spool",
		Short: "Show what is queued for later, process it, try dead letters again",
		Long: `Show the alerts that wait for MISP, the events that wait for Wazuh's queue, the dead letters, which failed too often
and are not tried any more, and the present or last outage of both.

Every call by integratord also processes queued entries, so there is nothing to do after an outage. "drain" does it at
once, for when no alerts come in.`,
		Example: `  custom-misp spool
  sudo custom-misp spool drain
  sudo custom-misp spool retry`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			c, err := g.installed()
			if err != nil {
				return err
			}
			return showSpool(s.Out, c, output)
		},
	}
	outputFlag(cmd, &output, "table", "table", "json")
	cmd.AddCommand(
		&cobra.Command{
			Use: "drain", Short: "Look up queued alerts and send queued events now", Args: noArguments,
			Long: "Look up queued alerts and send queued events now, until none is left. Exit code 1 if some are.\n" +
				"As root it becomes the user of Wazuh. The settings are those that integratord would give.",
			Example: "  sudo custom-misp spool drain",
			RunE:    func(cmd *cobra.Command, _ []string) error { return drainSpool(cmd.Context(), *g, s) },
		},
		&cobra.Command{
			Use: "retry", Short: "Queue dead letters again, to be tried again", Args: noArguments,
			Example: "  sudo custom-misp spool retry",
			RunE:    func(*cobra.Command, []string) error { return retrySpool(*g, s.Out) },
		},
	)
	return cmd
}

func showSpool(w io.Writer, c *config.Config, output string) error {
	dir := app.NewSpool(c)
	depth, err := dir.Depth()
	if err != nil {
		return err
	}
	letters, err := dir.DeadLetters()
	if err != nil {
		return err
	}
	state := app.StateOf(c)
	shown := struct {
		Dir string `json:"dir"`
		spool.Depth
		DeadLetters []spool.DeadLetter `json:"set_aside"`
		MISP        *enrich.Outage     `json:"misp_outage"`
		Queue       *enrich.Outage     `json:"queue_outage"`
	}{dir.Path, depth, append([]spool.DeadLetter{}, letters...), serve.LastOutage(state.MISPOutage()), serve.LastOutage(state.QueueOutage())}
	if output == "json" {
		return cli.WriteJSON(w, shown)
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "spool\t%s\n", dir.Path)
	fmt.Fprintf(t, "alerts queued\t%d\n", depth.Alerts)
	fmt.Fprintf(t, "events queued\t%d\n", depth.Events)
	if !depth.Oldest.IsZero() {
		fmt.Fprintf(t, "oldest\t%s\n", depth.Oldest.UTC().Format(time.RFC3339))
	}
	fmt.Fprintf(t, "dead letters\t%d\n", depth.DeadLetters)
	fmt.Fprintf(t, "MISP\t%s\n", serve.DescribeOutage(shown.MISP))
	fmt.Fprintf(t, "queue\t%s\n", serve.DescribeOutage(shown.Queue))
	for _, l := range letters {
		fmt.Fprintf(t, "%s\t%s\n", l.File, cli.Clean(l.Reason))
	}
	return t.Flush()
}

// drainTime is how long a round of drain may take; no call waits for it.
const drainTime = 30 * time.Second

// drainSpool processes queued entries until none is left or none can be done.
func drainSpool(ctx context.Context, g globals, st cli.Streams) error {
	if err := g.becomeWazuh(); err != nil {
		return err
	}
	c, err := g.installed()
	if err != nil {
		return err
	}
	a, err := app.Build(c, app.Hooks{Log: cli.NewLog(st.Err, slog.LevelWarn, false), DrainTime: drainTime})
	if a != nil {
		defer a.Close()
	}
	if err != nil {
		return err
	}
	if len(a.Faults) > 0 {
		cli.PrintFaults(st.Err, a.Faults) // the mappings of the other files do their work all the same
	}
	chain := a.Chain
	var all enrich.Drained
	for {
		done := chain.Drain(ctx)
		all.Events, all.Alerts, all.Sent = all.Events+done.Events, all.Alerts+done.Alerts, all.Sent+done.Sent
		all.DeadLetters += done.DeadLetters
		if done == (enrich.Drained{}) || ctx.Err() != nil {
			break
		}
	}
	fmt.Fprintf(st.Out, "%s looked up, %s found; %s sent; %s\n", cli.Plural(all.Alerts, "queued alert"), cli.Plural(all.Sent, "hit"),
		cli.Plural(all.Events, "queued event"), cli.Plural(all.DeadLetters, "dead letter"))
	depth, err := chain.Spool.Depth()
	if err != nil {
		return err
	}
	if left := depth.Alerts + depth.Events; left > 0 {
		return fmt.Errorf("%s still queued: %s; see custom-misp doctor", cli.Plural(left, "entry"), serve.DescribeOutage(serve.LastOutage(chain.MISP)))
	}
	return nil
}

func retrySpool(g globals, w io.Writer) error {
	if err := g.becomeWazuh(); err != nil {
		return err
	}
	c, err := g.installed()
	if err != nil {
		return err
	}
	consumer, err := app.NewSpool(c).Open()
	if err != nil {
		return err
	}
	n := 0
	if consumer != nil {
		defer consumer.Close() //nolint:errcheck // the lock ends with the process
		if n, err = consumer.Retry(); err != nil {
			return err
		}
	} else if depth, err := app.NewSpool(c).Depth(); err != nil || depth.DeadLetters > 0 {
		return errors.New("a call is working on the spool; try again in a moment")
	}
	fmt.Fprintf(w, "%s queued again; the next call tries them, or custom-misp spool drain\n", cli.Plural(n, "entry"))
	return nil
}
