package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
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
		Short: "Show queued alerts and events and dead letters, and work on them",
		Long: `Show the alerts that are queued until MISP answers, the events that are queued until Wazuh takes them, the dead letters
(entries that failed too often), and the present or last outage of MISP and of Wazuh's queue.

After an outage there is nothing to do: each call by integratord, and serve, works on the spool. "drain" does it at
once, if no alerts come in.`,
		Example: `  custom-misp spool
  sudo custom-misp spool drain
  sudo custom-misp spool retry`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			c, configErr := g.installed() // a fault in it is said at the end: the spool matters most while there is one
			return errors.Join(showSpool(s.Out, c, output), configErr)
		},
	}
	outputFlag(cmd, &output, "table", "table", "json")
	cmd.AddCommand(
		&cobra.Command{
			Use: "drain", Short: "Look up queued alerts and send queued events now", Args: noArguments,
			Long: "Look up queued alerts and send queued events now, until none is left. Exit code 1 if some are left.\n" +
				"The settings are those of a call by integratord. Started as root, it becomes Wazuh's user.",
			Example: "  sudo custom-misp spool drain",
			RunE:    func(cmd *cobra.Command, _ []string) error { return drainSpool(cmd.Context(), *g, s) },
		},
		&cobra.Command{
			Use: "retry", Short: "Put dead letters back into the queue", Args: noArguments,
			Example: "  sudo custom-misp spool retry",
			RunE:    func(*cobra.Command, []string) error { return retrySpool(*g, s.Out, s.Err) },
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
		Waiting     map[string]int     `json:"waiting_for,omitempty"` // alerts, by the MISP server that they wait for
	}{dir.Path, depth, append([]spool.DeadLetter{}, letters...), serve.LastOutage(state.MISPOutage()), serve.LastOutage(state.QueueOutage()), nil}
	if shown.Waiting, err = dir.DepthFor(spool.Delayed); err != nil {
		return err
	}
	servers, err := app.Servers(c)
	if err != nil {
		return err
	}
	if output == "json" {
		return cli.WriteJSON(w, shown)
	}
	t := cli.NewTable(w)
	t.Row("spool", dir.Path)
	t.Row("alerts queued", depth.Alerts)
	t.Row("events queued", depth.Events)
	if !depth.Oldest.IsZero() {
		t.Row("oldest", depth.Oldest.UTC().Format(time.RFC3339))
	}
	t.Row("dead letters", depth.DeadLetters)
	if depth.Newer > 0 {
		t.Row("of a later version", fmt.Sprintf("%d, left untouched; run the custom-misp that wrote them", depth.Newer))
	}
	if !app.Several(servers) {
		t.Row("MISP", serve.DescribeOutage(shown.MISP))
	}
	known := map[string]bool{}
	for _, one := range servers {
		if known[one.Name] = true; app.Several(servers) {
			t.Row("MISP "+one.Name, fmt.Sprintf("%s; %d alerts wait for it", serve.DescribeOutage(serve.LastOutage(state.ServerOutage(one.Name))), shown.Waiting[one.Name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(shown.Waiting)) {
		if !known[name] {
			t.Row("MISP "+name, fmt.Sprintf("is not configured any more; %d alerts wait for it until it is, or the spool is full", shown.Waiting[name]))
		}
	}
	t.Row("queue", serve.DescribeOutage(shown.Queue))
	for _, l := range letters {
		t.Row(l.File, l.Reason)
	}
	return t.Flush()
}

// drainTime is how long a round of drain may take; no call waits for it.
const drainTime = 30 * time.Second

// drainSpool processes queued entries until none is left or none can be done.
func drainSpool(ctx context.Context, g globals, st cli.Streams) error {
	c, err := g.working(st.Err)
	if err != nil {
		return err
	}
	log := cli.NewLog(st.Err, slog.LevelWarn, false)
	sink, closeSink := dedupSink(c, log)
	defer closeSink()
	a, err := app.Build(c, app.Hooks{Log: log, Sink: sink, DrainTime: drainTime})
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
		return fmt.Errorf("%s still queued: %s; see custom-misp doctor", cli.Plural(left, "entry"), describeOutages(chain))
	}
	return nil
}

// describeOutages returns the outage of MISP, or of each of several servers, in words.
func describeOutages(chain *enrich.QueueingPipeline) string {
	if len(chain.Outages) == 0 {
		return serve.DescribeOutage(serve.LastOutage(chain.MISP))
	}
	var texts []string
	for _, o := range chain.Outages {
		texts = append(texts, o.Name+": "+serve.DescribeOutage(serve.LastOutage(o.Outage)))
	}
	return strings.Join(texts, "; ")
}

func retrySpool(g globals, w, stderr io.Writer) error {
	c, err := g.working(stderr)
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
